"""OpenAI's embeddings, moderations, models and files; pure.

https://platform.openai.com/docs/api-reference/embeddings, …/moderations, …/models, …/files
"""

import base64
import struct
from typing import Any

from demo.behaviours import KNOWN_MODELS
from demo.call import CREATED, JSON, Call, Reply, compact, count_tokens
from demo.errors import openai_error
from demo.openai_chat import pretty

_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


def _vector(call: Call, index: int, dimensions: int) -> list[float]:
    draw = call.random(f"vector {index}")
    scale = dimensions**-0.5
    return [round(draw.uniform(-scale, scale), 8) for _ in range(dimensions)]


def embeddings(call: Call, body: JSON) -> Reply:
    """POST /v1/embeddings: one vector for each text or list of tokens, floats or base64."""
    given = body.get("input", "")
    single = isinstance(given, str) or (
        isinstance(given, list) and bool(given) and isinstance(given[0], int)
    )
    inputs = [given] if single else list(given)
    dimensions = body.get("dimensions", 1536)
    data = []
    for index in range(len(inputs)):
        vector: Any = _vector(call, index, dimensions)
        if body.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": vector})
    tokens = sum(len(item) if isinstance(item, list) else count_tokens(item) for item in inputs)
    usage = {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    answer = {
        "object": "list",
        "data": data,
        "model": call.behaviour.answered_model("text-embedding-3-small"),
        **(usage if call.behaviour.usage else {}),
    }
    return Reply([pretty(answer)])


def moderations(call: Call, body: JSON) -> Reply:
    """POST /v1/moderations"""
    inputs = body.get("input", "")
    draw = call.random("scores")
    results = [
        {
            "flagged": False,
            "categories": dict.fromkeys(_CATEGORIES, False),
            "category_scores": {name: round(draw.random() / 1000, 8) for name in _CATEGORIES},
            "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
        }
        for _ in range(len(inputs) if isinstance(inputs, list) else 1)
    ]
    answer = {
        "id": call.ident("modr-"),
        "model": call.behaviour.model or "omni-moderation-latest",
        "results": results,
    }
    return Reply([pretty(answer)])


def _model(name: str) -> JSON:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "system"}


def models(call: Call) -> Reply:
    """GET /v1/models and /v1/models/{id}"""
    names = [name for name in KNOWN_MODELS if not name.startswith("claude")]
    wanted = call.path.removeprefix("/v1/models").strip("/")
    if not wanted:
        return Reply([pretty({"object": "list", "data": [_model(name) for name in names]})])
    if wanted in names:
        return Reply([pretty(_model(wanted))])
    message = f"The model '{wanted}' does not exist"
    return openai_error(404, "invalid_request_error", message, "model_not_found", "model")


def files(call: Call) -> Reply:
    """POST /v1/files (multipart)"""
    content = call.form.get("file")
    if content is None:
        return openai_error(400, "invalid_request_error", "'file' is a required property")
    answer = {
        "object": "file",
        "id": call.ident("file-", 22),
        "purpose": call.form.get("purpose", "user_data"),
        "filename": _file_name(call),
        "bytes": len(content.encode()),
        "created_at": CREATED,
        "expires_at": None,
        "status": "processed",
        "status_details": None,
    }
    return Reply([compact(answer)])


def _file_name(call: Call) -> str:
    _, found, rest = call.raw_body.partition(b'filename="')
    return rest.partition(b'"')[0].decode("utf-8", "replace") if found else "upload"
