"""Telling webhooks of budgets that come near their limits or pass them.

Nothing on a request's path: each worker's `WebhookSender` looks at the counters every
`SECONDS`. What is due is written down first, once for each budget, period and event by a
unique constraint, and claimed with a conditional update before it is sent, so workers do not
send the same attempt twice.

How it fails: an attempt that fails is repeated with back-off and recorded as failed after the
last. A worker that dies while it sends leaves the attempt to be repeated: a receiver may see
a message twice. Errors of the database are logged once and the round comes again.
"""

import logging
import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django.db import Error, IntegrityError, connection, transaction
from django.db.models import F, QuerySet

from budgets import postman
from budgets.models import Budget, BudgetCounter, DeliveryState, WebhookDelivery
from budgets.periods import Period
from budgets.postman import Undeliverable
from budgets.scopes import BudgetSpec
from budgets.settlement import moment, spec_of
from budgets.webhook_rules import (
    RETRY_AFTER,
    SIGNATURE,
    due_event,
    is_delivered,
    is_final,
    payload,
    retry_after,
    signature,
)

SECONDS = 2.0
LATE = 60.0
"""Seconds after its end for which a period is still looked at: its last rows come late."""
AT_ONCE = 20
"""Messages that one round sends."""
KEPT = timedelta(days=90)
"""How long the log keeps what is done."""
IN_LIST = 500

logger = logging.getLogger("tokenwatch.webhooks")


class WebhookSender:
    """One worker's thread that finds what is due and sends it."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failing = False

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what is being sent may take until its time limit."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.wait(SECONDS):
            try:
                self._round()
                self._failing = False
            except Error as exc:
                connection.close()
                if not self._failing:
                    logger.error("Webhooks wait for the database: %s", " ".join(str(exc).split()))
                self._failing = True
            except Exception:  # a fault in here must not end the thread
                logger.exception("Webhooks hit an unexpected error")
        connection.close()

    def _round(self) -> None:
        now = datetime.now(UTC)
        note_events(now)
        while not self._stop.is_set() and deliver_next(now, allow_private=self._allow_private):
            now = datetime.now(UTC)


def note_events(now: datetime) -> int:
    """Write down what webhooks have not been told yet; how many messages that were."""
    budgets = [b for b in Budget.objects.filter(active=True) if b.webhook_url]
    if not budgets:
        return 0
    periods = {b.pk: _periods(spec_of(b), now.timestamp()) for b in budgets}
    counters = _spent(periods)
    told = _told(periods)
    return sum(
        _note(budget, event, counters[budget.pk, period.start], period, now)
        for budget in budgets
        for period in periods[budget.pk]
        if (budget.pk, period.start) in counters
        and (
            event := due_event(
                spec_of(budget),
                counters[budget.pk, period.start],
                told.get((budget.pk, period.start), ()),
            )
        )
    )


def _periods(spec: BudgetSpec, now: float) -> list[Period]:
    """The present period, and the one before as long as rows of it may come."""
    present, earlier = spec.at(now), spec.at(now - LATE)
    return [present] if earlier == present else [earlier, present]


def _spent(periods: dict[int, list[Period]]) -> dict[tuple[int, float], int]:
    found = BudgetCounter.objects.filter(
        budget__in=periods, period_start__in=_starts(periods)
    ).values_list("budget_id", "period_start", "spent")
    return {(budget, start.timestamp()): spent for budget, start, spent in found}


def _told(periods: dict[int, list[Period]]) -> dict[tuple[int, float], set[str]]:
    found = WebhookDelivery.objects.filter(
        budget__in=periods, period_start__in=_starts(periods)
    ).values_list("budget_id", "period_start", "event")
    told: dict[tuple[int, float], set[str]] = {}
    for budget, start, event in found:
        told.setdefault((budget, start.timestamp()), set()).add(event)
    return told


def _starts(periods: dict[int, list[Period]]) -> set[datetime]:
    return {moment(period.start) for several in periods.values() for period in several}


def _note(budget: Budget, event: str, spent: int, period: Period, now: datetime) -> bool:
    """Write one message down; False where another worker has done so."""
    try:
        with transaction.atomic():
            WebhookDelivery.objects.create(
                budget=budget,
                event=event,
                period_start=moment(period.start),
                url=budget.webhook_url,
                payload=payload(spec_of(budget), event, spent, period),
                next_attempt_at=now,
            )
    except IntegrityError:
        return False
    return True


def deliver_next(now: datetime, *, allow_private: bool) -> bool:
    """Send one message that is due; False where there is none."""
    due = WebhookDelivery.objects.filter(state=DeliveryState.PENDING, next_attempt_at__lte=now)
    for delivery in due.select_related("budget").order_by("next_attempt_at")[:AT_ONCE]:
        delay = retry_after(delivery.attempts + 1)
        if delivery.attempts and retry_after(delivery.attempts) is None:
            # Whoever made the last attempt died in it.
            _end(delivery, DeliveryState.FAILED)
            continue
        claimed = due.filter(pk=delivery.pk, attempts=delivery.attempts).update(
            attempts=F("attempts") + 1,
            next_attempt_at=now + timedelta(seconds=delay or RETRY_AFTER[0]),
        )
        if claimed:
            _attempt(delivery, now, allow_private=allow_private, last=delay is None)
            return True
    return False


def _attempt(delivery: WebhookDelivery, now: datetime, *, allow_private: bool, last: bool) -> None:
    body = delivery.payload.encode()
    headers = {"Content-Type": "application/json", "User-Agent": "TokenWatch-Webhook"}
    if secret := delivery.budget.webhook_secret:
        headers[SIGNATURE] = signature(secret, body, int(now.timestamp()))
    try:
        status = postman.post(delivery.url, body, headers, allow_private=allow_private)
    except Undeliverable as exc:
        delivery.last_error, delivery.response_status = str(exc)[:500], None
        _end(delivery, DeliveryState.FAILED if last else DeliveryState.PENDING)
        return
    delivery.response_status = status
    if is_delivered(status):
        delivery.last_error, delivery.delivered_at = "", datetime.now(UTC)
        _end(delivery, DeliveryState.DELIVERED)
        return
    delivery.last_error = f"The receiver answered {status}."
    failed = last or is_final(status)
    _end(delivery, DeliveryState.FAILED if failed else DeliveryState.PENDING)


def _end(delivery: WebhookDelivery, state: str) -> None:
    """Record how an attempt ended."""
    delivery.state = state
    delivery.save(update_fields=["state", "response_status", "last_error", "delivered_at"])
    if state == DeliveryState.FAILED:
        logger.warning(
            "The webhook of budget %r was not told that it is %s: %s",
            delivery.budget.name,
            delivery.event,
            delivery.last_error,
        )


def clean(now: datetime, size: int = IN_LIST) -> int:
    """Drop up to ``size`` messages that are done and older than `KEPT`; how many those were."""
    oldest = list(finished(now).order_by("created_at").values_list("pk", flat=True)[:size])
    return WebhookDelivery.objects.filter(pk__in=oldest).delete()[0]


def finished(now: datetime) -> QuerySet[WebhookDelivery]:
    """The messages that are done and older than `KEPT`."""
    done: Iterable[str] = (DeliveryState.DELIVERED, DeliveryState.FAILED)
    return WebhookDelivery.objects.filter(state__in=done, created_at__lt=now - KEPT)
