"""Entries for tests."""

import time
from hashlib import sha256

from cache.entry import Entry
from tokenwatch.tokens import TokenUsage


def entry(name="a", *, age=0.0, ttl=1000.0, body=b'{"a": 1}', key=None, **more):
    """An entry whose key and request id come from its name."""
    created = time.time() - age
    values = {
        "key": key or sha256(name.encode()).hexdigest(),
        "request_id": sha256(name.encode()).hexdigest()[:32],
        "api_type": "openai",
        "kind": "chat",
        "endpoint": "v1/chat/completions",
        "model": "gpt-4o-mini",
        "model_used": "gpt-4o-mini-2024-07-18",
        "app": "crm",
        "stream": False,
        "status": 200,
        "headers": ((b"content-type", b"application/json"), (b"x-request-id", b"\xe9")),
        "body": body,
        "usage": TokenUsage(input=3, output=4, cache_read=5),
        "usage_estimated": False,
        "service_tier": "default",
        "finish_reason": "stop",
        "cost": "0.0000174000",
        "created_at": round(created, 3),
        "expires_at": round(created + ttl, 3),
    }
    return Entry(**{**values, **more})
