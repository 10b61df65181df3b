"""What the GenAI conventions call an operation and a provider. Pure.

https://github.com/open-telemetry/semantic-conventions-genai, docs/gen-ai
"""

from functools import lru_cache
from urllib.parse import urlsplit

_OPERATIONS = {
    "chat": "chat",
    "responses": "chat",
    "messages": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
    # The conventions have no names for these: custom ones may be used.
    "images": "images",
    "speech": "speech",
    "transcriptions": "transcriptions",
    "moderations": "moderations",
}
_PROVIDERS = (
    (".openai.azure.com", "azure.ai.openai"),
    (".services.ai.azure.com", "azure.ai.inference"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    (".amazonaws.com", "aws.bedrock"),
    (".openai.com", "openai"),
    (".anthropic.com", "anthropic"),
    (".cohere.com", "cohere"),
    (".deepseek.com", "deepseek"),
    (".groq.com", "groq"),
    (".mistral.ai", "mistral_ai"),
    (".perplexity.ai", "perplexity"),
    (".x.ai", "x_ai"),
)
_PORTS = {"https": 443, "http": 80}


def operation(kind: str) -> str:
    """``gen_ai.operation.name`` of an endpoint's kind; empty where it is no such operation."""
    return _OPERATIONS.get(kind, "")


@lru_cache(maxsize=1024)
def server(base_url: str) -> tuple[str, int]:
    """Address and port of an upstream."""
    parts = urlsplit(base_url)
    return parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)


@lru_cache(maxsize=1024)
def provider(api_type: str, base_url: str) -> str:
    """``gen_ai.provider.name``: by the upstream's host, else the format that it speaks.

    The attribute tells in which provider's terms the telemetry is written, and a host that
    nobody knows is spoken to in those of its api type.
    """
    host = "." + server(base_url)[0]
    return next((name for end, name in _PROVIDERS if host.endswith(end)), api_type)
