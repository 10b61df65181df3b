"""Stored prompts: what is written of a request and its answer, and how long it stays.

Secrets are taken out, streams put together, media hashed before anything is written. How it
fails: `prepared` never does; `write` stores all of its prompts or none; `prune` works in small
transactions, and what it deleted before an error stays deleted.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import NamedTuple

from django.db import transaction
from django.db.models import QuerySet

from experiments.prompt_models import PromptText, ReplayAnswer, StoredPrompt
from experiments.redaction import Redacted, redact_body
from upstreams.dialects import DIALECTS
from upstreams.dialects.assemble import assemble
from usage.rows import UsageRow

PRUNE_BATCH = 500
"""Rows a transaction; Oracle takes no more than 1,000 values in one IN list."""

KEPT_HEADERS = (b"anthropic-version", b"anthropic-beta", b"openai-beta")
"""What a request means depends on them, and none can be a secret."""


class Exchange(NamedTuple):
    """One request and its answer, as the finish of a request hands them over."""

    row: UsageRow
    request: bytes
    response: Sequence[bytes]
    """The answer as the client would read it (decoded), in pieces; of a stream, its events."""
    request_whole: bool
    response_whole: bool
    headers: Mapping[bytes, bytes]
    """The request's, with names in lower case; `KEPT_HEADERS` of them are kept."""


@dataclass(slots=True)
class Kept:
    """A prompt as it is written."""

    prompt: StoredPrompt
    request: str
    response: str


def prepared(exchange: Exchange, *, redact: bool) -> Kept:
    """What is written of a request: streams put together, secrets taken out, media hashed."""
    row = exchange.row
    answer, whole = _answer(exchange)
    # Of a body that was cut off nobody can say what is base64 of a picture.
    asked = _readable(exchange.request) if exchange.request_whole else ""
    request = redact_body(asked, secrets=redact)
    response = redact_body(answer, secrets=redact)
    dialect = DIALECTS.get(row.api_type)
    prompt = StoredPrompt(
        request_id=row.request_id,
        created_at=datetime.fromtimestamp(row.created_at, UTC),
        api_type=row.api_type,
        endpoint=row.endpoint,
        kind=dialect.endpoint(row.method, row.endpoint).kind if dialect else "",
        model=row.model_requested,
        model_used=row.model_used,
        app=row.source_app,
        tag=row.feature_tag,
        session_id=row.session_id,
        status_code=row.status_code,
        stream=row.stream,
        redacted=redact,
        redactions=_counted(request, response),
        media=request.media,
        api_headers=_headers(exchange.headers),
        request_whole=exchange.request_whole,
        response_whole=whole,
    )
    return Kept(prompt, _storable(request.text), _storable(response.text))


def _answer(exchange: Exchange) -> tuple[str, bool]:
    """The answer's text and whether that is all of it. Of a stream of unknown events nothing is
    kept: a secret may be spread over several of them."""
    raw = b"".join(exchange.response)
    if exchange.row.stream and (found := assemble(raw)) is not None:
        return _as_json(found.body), exchange.response_whole and found.complete
    if not exchange.response_whole or (exchange.row.stream and not _is_json(raw)):
        return "", False
    return _readable(raw), True


def _readable(body: bytes) -> str:
    """A body as text; audio and other bytes as their hash."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return f"sha256:{sha256(body).hexdigest()} ({len(body)} bytes)"


def _is_json(body: bytes) -> bool:
    """An error came instead of the stream."""
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


def _as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _headers(headers: Mapping[bytes, bytes]) -> str:
    kept = {
        name.decode(): headers[name].decode("latin-1") for name in KEPT_HEADERS if name in headers
    }
    text = json.dumps(kept) if kept else ""
    return text if len(text) <= 500 else ""


def _counted(*bodies: Redacted) -> str:
    counts = sum((body.found for body in bodies), start=Counter[str]())
    return ", ".join(f"{kind} {number}" for kind, number in sorted(counts.items()))[:300]


def _storable(text: str) -> str:
    """Without what no database takes: PostgreSQL has no NUL, drivers no lone surrogates."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def write(kept: Sequence[Kept]) -> int:
    """Store prompts that are not stored yet, all or none; returns how many.

    Row by row: one statement with texts of all lengths fails on Oracle.

    Raises:
        DataError: the database refuses one of them.
        DatabaseError: it is away, or the outcome is unknown.
    """
    by_id = {one.prompt.request_id: one for one in kept}
    with transaction.atomic():
        known = set(
            StoredPrompt.objects.filter(request_id__in=list(by_id)).values_list(
                "request_id", flat=True
            )
        )
        new = [one for request_id, one in by_id.items() if request_id not in known]
        for one in new:
            one.prompt.pk = None
            one.prompt.save(force_insert=True)
            PromptText(
                prompt=one.prompt, request_body=one.request, response_body=one.response
            ).save(force_insert=True)
    return len(new)


def prune(now: datetime, retention_days: int, *, batch: int = PRUNE_BATCH) -> int:
    """Delete prompts, and the texts of replayed answers, that are older than the retention.

    In small transactions, so that nobody waits for long. A run's figures stay. Returns how many
    prompts and answers went.

    Raises:
        DatabaseError: what was deleted before stays deleted.
    """
    before = now - timedelta(days=retention_days)
    gone = 0
    while removed := remove_older(before, batch):
        gone += removed
    return gone


def remove_older(before: datetime, limit: int) -> int:
    """Remove up to ``limit`` prompts, or else answers, from before a moment, in one transaction;
    how many that were."""
    if ids := list(_older(StoredPrompt, before).values_list("pk", flat=True)[:limit]):
        with transaction.atomic():
            PromptText.objects.filter(prompt_id__in=ids).delete()
            old = StoredPrompt.objects.filter(pk__in=ids)
            old._raw_delete(old.db)  # `delete` would read all rows first, texts included
        return len(ids)
    if ids := list(_older(ReplayAnswer, before).values_list("pk", flat=True)[:limit]):
        ReplayAnswer.objects.filter(pk__in=ids).delete()
    return len(ids)


def count_older(before: datetime) -> int:
    """How many prompts and answers are from before a moment."""
    return _older(StoredPrompt, before).count() + _older(ReplayAnswer, before).count()


def _older(
    model: type[StoredPrompt] | type[ReplayAnswer], before: datetime
) -> QuerySet[StoredPrompt] | QuerySet[ReplayAnswer]:
    return model._default_manager.filter(created_at__lt=before).order_by("created_at")
