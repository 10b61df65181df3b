"""API tokens: made, found by their hash, revoked.

A key has 256 random bits, so one round of SHA-256 keeps it as well as a slow hash would, and
the look-up by hash tells nothing by its timing. How it fails: the database's errors are passed
on, and nobody gets in.
"""

import hashlib
import secrets
from datetime import datetime, timedelta

from dashboard.models import ApiToken

PREFIX = "tw_"
NOTED_EVERY = timedelta(minutes=1)
"""``last_used_at`` is written no more often."""
_LONGEST = 200


def new_key() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def hint(key: str) -> str:
    return f"{key[:9]}…"


def find(key: str, now: datetime) -> ApiToken | None:
    """The token of a key that is not revoked."""
    if not key.startswith(PREFIX) or len(key) > _LONGEST:
        return None
    token = ApiToken.objects.filter(digest=digest(key)).first()
    if token is None or (token.revoked_at is not None and token.revoked_at <= now):
        return None
    if token.last_used_at is None or now - token.last_used_at > NOTED_EVERY:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token
