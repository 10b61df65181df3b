"""Which versions of the clients are installed and tried; docs/clients.md names the same."""

SDKS = ("openai==3.57.0", "anthropic==2.13.0")
LANGCHAIN = ("langchain-openai==1.7.4", "langchain-anthropic==1.7.10")
LLAMA_INDEX = (
    "llama-index-llms-openai==0.8.3",
    "llama-index-llms-openai-like==0.8.1",
    "llama-index-llms-anthropic==0.12.3",
    "anthropic==0.125.0",  # it cannot make a request with 1.0 or newer
)
LITELLM = ("litellm==1.110.2",)

NODE_SDKS = ("openai==6.49.0", "@anthropic-ai/sdk==1.13.0")
VERCEL = ("ai==6.0.326", "@ai-sdk/openai==3.0.141", "@ai-sdk/anthropic==3.0.140")
CLAUDE_CODE = ("@anthropic-ai/claude-code==2.1.197",)
CODEX = ("@openai/codex==0.169.0",)

ALL = {
    *SDKS,
    *LANGCHAIN,
    *LLAMA_INDEX,
    *LITELLM,
    *NODE_SDKS,
    *VERCEL,
    *CLAUDE_CODE,
    *CODEX,
}
