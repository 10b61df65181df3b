"""Upstreams and their health in the database.

How it fails: the database's errors are passed on. An upstream whose credential cannot be read
is loaded with its problem, logged, and left out of what serves; the others are not touched.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from django.db import IntegrityError, connection, transaction

from upstreams.breaker import CLOSED
from upstreams.candidates import Candidate
from upstreams.models import CredentialMissing, Upstream, UpstreamEvent, UpstreamHealth, as_values
from upstreams.secrets import Unreadable
from upstreams.validation import read_models

KEPT_EVENTS = 1000

logger = logging.getLogger("tokenwatch.upstreams")


@dataclass(frozen=True, slots=True)
class Change:
    """A breaker opened, closed, or stays open for longer. Times in seconds since the epoch."""

    api_type: str
    upstream: str
    state: str
    at: float
    failures: int
    error: str
    until: float | None


def load_upstreams() -> list[Candidate]:
    """The enabled upstreams by priority; those that cannot serve with their problem."""
    rows = Upstream.objects.filter(enabled=True).order_by("priority", "name")
    found = [candidate_of(row) for row in rows]
    for candidate in found:
        if candidate.problem:
            logger.error("Upstream %s is left out: %s", candidate.name, candidate.problem)
    return found


def candidate_of(row: Upstream) -> Candidate:
    """An upstream as the hot path needs it; with its problem where it cannot serve."""
    credential, names, problem = "", {}, ""
    try:
        credential = row.credential()
        names = read_models(row.model_names or "")
    except (Unreadable, CredentialMissing) as exc:
        problem = str(exc)
    except ValueError as exc:
        problem = f"its model names: {exc}"
    return Candidate(
        name=row.name,
        api_type=row.api_type,
        base_url=row.base_url.rstrip("/"),
        priority=row.priority,
        weight=row.weight,
        credential=credential,
        forwards_credential=row.forward_client_credential,
        connect_timeout=row.connect_timeout,
        overall_timeout=row.overall_timeout,
        models=names,
        problem=problem,
    )


def gets_clients_key(upstream: Upstream) -> bool:
    """Whether an upstream that nobody said more about should get the clients' credentials: only
    as long as no enabled one of its api type is at another host, whose keys they are then."""
    others = Upstream.objects.filter(api_type=upstream.api_type, enabled=True)
    urls = others.exclude(pk=upstream.pk).values_list("base_url", flat=True)
    host = urlsplit(upstream.base_url).netloc.lower()
    return all(urlsplit(url).netloc.lower() == host for url in urls)


def left_out(api_type: str) -> dict[str, str]:
    """The upstreams of an api type that serve no request, by name, and why."""
    rows = Upstream.objects.filter(api_type=api_type).order_by("priority", "name")
    found = {one.name: "disabled" if not one.enabled else candidate_of(one).problem for one in rows}
    return {name: why for name, why in found.items() if why}


@dataclass(frozen=True, slots=True)
class Standing:
    """How an upstream is, as far as the database knows."""

    state: str
    """closed, open, half-open, or problem: it cannot serve."""
    error: str = ""
    since: datetime | None = None
    until: datetime | None = None
    worker: str = ""

    @property
    def shown(self) -> str:
        """For a list: one line."""
        if self.state == "closed":
            return "well"
        if self.state == "problem":
            return f"left out: {self.error}"
        if self.until is None:
            return f"to be tried again ({self.error})"
        return f"resting until {self.until:%H:%M:%S} UTC ({self.error})"


def standings(upstreams: Iterable[Upstream], now: datetime) -> list[Standing]:
    """How upstreams are, in one query."""
    known = {(row.api_type, row.upstream): row for row in UpstreamHealth.objects.all()}
    return [_standing(one, known.get((one.api_type, one.name)), now) for one in upstreams]


def _standing(upstream: Upstream, row: UpstreamHealth | None, now: datetime) -> Standing:
    if problem := candidate_of(upstream).problem:
        return Standing("problem", problem)
    if row is None or row.state == CLOSED:
        return Standing(CLOSED, since=row.since if row else None)
    until = row.cool_down_until
    return Standing(
        row.state,
        row.last_error or "",
        row.since,
        until if until is not None and until > now else None,
        row.worker,
    )


def load_health() -> list[Change]:
    """What is known of upstreams that are not well; one that was edited since is due at once."""
    edited = dict(Upstream.objects.values_list("name", "updated_at"))
    return [
        Change(
            api_type=row.api_type,
            upstream=row.upstream,
            state=row.state,
            at=row.since.timestamp(),
            failures=row.failures,
            error=row.last_error or "",
            until=row.cool_down_until.timestamp()
            if row.cool_down_until and edited.get(row.upstream, row.since) <= row.since
            else None,
        )
        for row in UpstreamHealth.objects.exclude(state=CLOSED)
    ]


def record(changes: Iterable[Change], worker: str) -> None:
    """Write changes to the history, and the last of each upstream as its present state."""
    events = [
        UpstreamEvent(
            created_at=datetime.fromtimestamp(change.at, UTC),
            api_type=change.api_type,
            upstream=change.upstream,
            state=change.state,
            failures=change.failures,
            last_error=change.error[:200],
            cool_down_until=datetime.fromtimestamp(change.until, UTC) if change.until else None,
            worker=worker,
        )
        for change in changes
    ]
    try:
        with transaction.atomic():
            UpstreamEvent.objects.bulk_create(events)
            for event in {(event.api_type, event.upstream): event for event in events}.values():
                _set_present(event)
            _drop_old_events()
    finally:
        if not connection.in_atomic_block:
            connection.close()  # the calling thread comes from a pool, and may not come again


def _set_present(event: UpstreamEvent) -> None:
    values = as_values(event) | {"since": event.created_at}
    present = UpstreamHealth.objects.filter(api_type=event.api_type, upstream=event.upstream)
    if present.update(**values):
        return
    try:
        with transaction.atomic():
            UpstreamHealth.objects.create(**values)
    except IntegrityError:  # another worker made it first
        present.update(**values)


def _drop_old_events() -> None:
    kept = UpstreamEvent.objects.order_by("-id").values_list("id", flat=True)
    oldest = list(kept[KEPT_EVENTS : KEPT_EVENTS + 1])
    if oldest:
        UpstreamEvent.objects.filter(id__lte=oldest[0]).delete()
