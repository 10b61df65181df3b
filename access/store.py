"""Keys and limits in the database: made, loaded for a snapshot, and when keys were last used.

How it fails: the database's errors are passed on; `LastUsed.flush` keeps what it could not
write for the next time.
"""

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime

from django.db import Error, close_old_connections, connection
from django.db.models import Q

from access.keys import PREFIX, RANDOM_BYTES, KeyRing, KeySpec, names
from access.limits import LimitIndex, LimitSpec
from access.models import ProxyKey, RateLimit

WRITE_EVERY = 60.0
"""Seconds between two writes of when keys were last used."""


def new_key() -> str:
    """A key that nobody has."""
    return PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def load_keys() -> KeyRing:
    """All keys, the revoked ones too: whoever uses one is told what became of it."""
    return KeyRing((row.digest, spec_of(row)) for row in ProxyKey.objects.all())


def spec_of(row: ProxyKey) -> KeySpec:
    return KeySpec(
        row.pk,
        row.name,
        row.app or "",
        row.tag or "",
        names(row.models_allowed or ""),
        names(row.upstreams_allowed or ""),
        row.limit(),
        row.enabled,
        row.expires_at.timestamp() if row.expires_at else None,
    )


def load_limits() -> LimitIndex:
    """The limits of the service and of apps."""
    service: list[LimitSpec] = []
    apps: list[tuple[str, LimitSpec]] = []
    for row in RateLimit.objects.filter(enabled=True).order_by("id"):
        if spec := row.limit():
            if row.app:
                apps.append((row.app, spec))
            else:
                service.append(spec)
    return LimitIndex(service, apps)


def usable_keys(now: datetime) -> int:
    """How many keys let somebody in."""
    fresh = Q(expires_at__isnull=True) | Q(expires_at__gt=now)
    return ProxyKey.objects.filter(fresh, enabled=True).count()


class LastUsed:
    """When this worker saw each key last; written rarely, and off the path of requests."""

    def __init__(self) -> None:
        self.seen: dict[int, float] = {}
        """By key, seconds since the epoch; requests write it."""
        self._next = 0.0

    def flush(self, now: float, *, all_of_it: bool = False) -> None:
        """Write what is due. Blocks; call it in a thread."""
        if not self.seen or (now < self._next and not all_of_it):
            return
        self._next = now + WRITE_EVERY
        seen, self.seen = self.seen, {}
        close_old_connections()
        try:
            _write(seen.items())
        except Error:
            self.seen = {**seen, **self.seen}
        finally:
            connection.close()


def _write(seen: Iterable[tuple[int, float]]) -> None:
    """Another worker may have seen a key later."""
    for key, at in seen:
        moment = datetime.fromtimestamp(at, UTC)
        older = Q(last_used_at__isnull=True) | Q(last_used_at__lt=moment)
        # No signal, so no new policy version: nothing that requests read has changed.
        ProxyKey.objects.filter(older, pk=key).update(last_used_at=moment)
