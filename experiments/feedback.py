"""What people said of answers: checked, and kept by request id.

A rating often comes seconds after its answer, when the request's row may still be in the
spool, and while the database catches up after an outage it comes hours before. So a request
id that has no row yet is taken if it was made within the past day (it begins with its time);
the report joins the two. Rating a request again replaces what was said before.

How it fails: `FeedbackError` says what is wrong, in a sentence for the caller; the database's
errors are passed on. Feedback on an answer that was in no test is kept and counts nowhere.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

from django.db import IntegrityError, transaction

from experiments.models import ABFeedback
from usage.models import UsageRecord

HIGHEST = 100
"""Of a rating; the lowest is -100. Any scale within will do, if a test keeps to one."""
PLACES = 4
MOST_LABELS = 10
LABEL_LENGTH = 50
STORED_WITHIN = timedelta(days=1)
CLOCKS = timedelta(minutes=5)
"""By how much the clocks of two machines may differ."""

_REQUEST_ID = re.compile(r"[0-9a-f]{32}")


class FeedbackError(ValueError):
    """Feedback cannot be taken; the text says why, in a sentence."""


class UnknownRequestError(FeedbackError):
    """There is no such request."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """Feedback that was kept."""

    request_id: str
    test: str
    """Empty where the answer was in no test, or its row is not stored yet."""
    variant: str
    pending: bool
    """The request's row is not stored yet."""
    replaced: bool
    """The answer had been rated before."""


def record(
    request_id: str,
    rating: float | Decimal,
    labels: Sequence[str] = (),
    *,
    now: datetime | None = None,
) -> Recorded:
    """Keep what somebody said of the answer to a request (X-TokenWatch-Request-Id).

    Raises:
        UnknownRequestError: there is no such request.
        FeedbackError: the id, the rating or a label is malformed.
    """
    wanted = request_id.strip().lower() if isinstance(request_id, str) else ""
    if not _REQUEST_ID.fullmatch(wanted):
        raise FeedbackError(
            "A request id is 32 hexadecimal digits: the header X-TokenWatch-Request-Id has it."
        )
    values = {"rating": _rating(rating), "labels": "\n".join(_labels(labels))}
    now = now or datetime.now(UTC)
    row = (
        UsageRecord.objects.filter(request_id=wanted)
        .order_by()
        .values_list("ab_test", "ab_variant")
        .first()
    )
    if row is None and not _is_recent(wanted, now):
        raise UnknownRequestError(f"There is no request {wanted}.")
    replaced = _keep(wanted, {**values, "created_at": now})
    test, variant = row or ("", "")
    return Recorded(wanted, test or "", variant or "", pending=row is None, replaced=replaced)


def _keep(request_id: str, values: dict[str, object]) -> bool:
    """Insert or replace; whether it was there."""
    present = ABFeedback.objects.filter(request_id=request_id)
    if present.update(**values):
        return True
    try:
        with transaction.atomic():
            ABFeedback.objects.create(request_id=request_id, **values)
    except IntegrityError:  # somebody rated it at the same moment: the later one stands
        present.update(**values)
        return True
    return False


def _rating(rating: object) -> Decimal:
    wrong = FeedbackError(f"A rating is a number from -{HIGHEST} to {HIGHEST}.")
    if isinstance(rating, bool) or not isinstance(rating, int | float | Decimal):
        raise wrong
    try:
        number = Decimal(str(rating))
    except InvalidOperation:
        raise wrong from None
    if not number.is_finite() or abs(number) > HIGHEST:
        raise wrong
    return round(number, PLACES)


def _labels(labels: object) -> list[str]:
    """The labels as they are kept: trimmed, each once."""
    if isinstance(labels, str) or not isinstance(labels, Sequence):
        raise FeedbackError("Labels are a list of texts.")
    kept: dict[str, None] = {}
    for label in labels:
        if not isinstance(label, str) or not (text := label.strip()):
            raise FeedbackError("A label is a text that is not empty.")
        if len(text) > LABEL_LENGTH or not text.isprintable():
            raise FeedbackError(f"A label has at most {LABEL_LENGTH} printable characters.")
        kept[text] = None
    if len(kept) > MOST_LABELS:
        raise FeedbackError(f"There are more than {MOST_LABELS} labels.")
    return list(kept)


def _is_recent(request_id: str, now: datetime) -> bool:
    """Whether the id is from a moment whose rows may not be stored yet (proxy/call.py makes it:
    milliseconds since the epoch in its first 12 digits)."""
    made = int(request_id[:12], 16) / 1000
    return (now - STORED_WITHIN).timestamp() <= made <= (now + CLOCKS).timestamp()
