"""Stored prompts for the tests of replay, with their rows in the ledger."""

import json
import uuid
from collections.abc import Iterable
from typing import Any

from experiments.prompt_models import StoredPrompt
from experiments.prompts import Exchange, prepared, write
from tests.usage.samples import NOON, usage_row
from usage import writer
from usage.rows import UsageRow

ENDPOINTS = {"openai": "v1/chat/completions", "anthropic": "v1/messages"}


def chat(text: Any, **more: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **more}


def chat_answer(text: str, **message: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": text, **message}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-4o",
        "choices": [{"index": 0, "message": said, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
    }


def exchange(body: Any, answer: Any, headers: Any = None, **row: Any) -> Exchange:
    """A finished request; bodies that are no bytes are sent as JSON."""
    api_type = row.get("api_type", "openai")
    defaults = {"model_requested": "gpt-4o", "endpoint": ENDPOINTS[api_type]}
    made: UsageRow = usage_row(**{**defaults, **row})
    return Exchange(made, _bytes(body), [_bytes(answer)], True, True, headers or {})


def _bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def store(*exchanges: Exchange, redact: bool = True, ledger: bool = True) -> list[str]:
    """Store prompts and their rows; their request ids."""
    rows = [one.row for one in exchanges]
    if ledger:
        for start in range(0, len(rows), writer.BATCH):
            writer.insert(rows[start : start + writer.BATCH], check=False)
    write([prepared(one, redact=redact) for one in exchanges])
    return [row.request_id for row in rows]


def store_chats(texts: Iterable[str], **row: Any) -> list[str]:
    """One prompt for each text, answered with that text in capitals."""
    made = [
        exchange(chat(text), chat_answer(text.upper()), created_at=NOON + number, **row)
        for number, text in enumerate(texts)
    ]
    return store(*made)


def new_id() -> str:
    return uuid.uuid4().hex


def prompt_of(request_id: str) -> StoredPrompt:
    return StoredPrompt.objects.select_related("text").get(request_id=request_id)
