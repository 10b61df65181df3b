"""The one exit of a request: measure, price and record it, exactly once.

Synchronous on purpose: without an await there is no point at which a cancellation could
leave a request half accounted for. The row is in the spool when `Ending.finish` returns, so
whoever sends the last bytes of an answer after it has sent nothing that can be lost.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

from access.limiter import Ticket
from budgets.accounts import Reservation
from budgets.refusals import Refusal
from budgets.scopes import BudgetSpec
from budgets.settlement import units_of
from experiments.prompt_spool import PromptSpool
from proxy.accounting import NOTHING, measure
from proxy.call import NAME_LENGTH, Call
from proxy.decision import Decision
from proxy.headers import clean
from proxy.services import Services
from proxy.tap import Tap
from tokenwatch.telemetry.context import Journey
from tokenwatch.telemetry.facts import Finished
from tokenwatch.tokens import TokenUsage
from upstreams.candidates import Candidate, Target
from upstreams.dialects.base import Answer
from usage.rows import UsageRow

ZERO = Decimal(0)

LOG_LENGTH = 500
DECISION_LENGTH = 1000

Asked = tuple[BudgetSpec, int, int]
"""A budget that was asked: what was spent of it then, and what the request might use. Units."""

UNMEASURED = "accounting_failed"
"""The error type of rows that a fault in the accounting left without figures."""

logger = logging.getLogger("tokenwatch.ledger")

CLIENT_GONE = 499
"""Status of rows whose client left before an answer began (nginx's convention)."""


BYPASS, MISS, HIT = b"BYPASS", b"MISS", b"HIT"
"""What the cache did: it was not asked, it had nothing, it answered."""


@dataclass(frozen=True, slots=True)
class Hit:
    """An answer that was not asked of a provider again: what the ledger knew of the first."""

    entry: str
    """The request that a provider answered."""
    model: str
    usage: TokenUsage | None
    usage_estimated: bool
    service_tier: str
    finish_reason: str
    cost: str | None
    """What it cost then, and is saved now."""


class Ending:
    """What becomes of a request: filled in as it goes, recorded by `finish`."""

    __slots__ = (
        "asked",
        "attempt_log",
        "attempts",
        "cache_note",
        "cache_similarity",
        "cache_status",
        "cache_tier",
        "call",
        "candidate",
        "decision",
        "error_type",
        "first_byte",
        "hit",
        "journey",
        "model",
        "notices",
        "on_row",
        "overhead",
        "refusal",
        "reservation",
        "reserved",
        "row",
        "sent",
        "services",
        "status",
        "tap",
        "ticket",
        "unrecorded",
        "upstream_status",
    )

    def __init__(self, call: Call, services: Services) -> None:
        self.call = call
        self.services = services
        self.status = 0
        """What the client gets; 0 until that is decided."""
        self.upstream_status = 0
        self.error_type = ""
        self.candidate: Candidate | None = None
        self.decision: Decision | None = None
        self.model = call.model
        """What is asked of the upstream, as the ledger knows it."""
        self.attempts = 0
        self.attempt_log = ""
        """The attempts that failed."""
        self.overhead = 0.0
        """Seconds that TokenWatch itself took before the last attempt."""
        self.sent = False
        self.tap: Tap | None = None
        self.first_byte: float | None = None
        self.row: UsageRow | None = None
        self.reservation: Reservation | None = None
        self.reserved = 0
        """The estimated cost that it is for, in units of a dollar."""
        self.ticket: Ticket | None = None
        """Where rate limits count it."""
        self.unrecorded = False
        """Nobody knows who sent it, so it gets no row: strangers must not fill the ledger."""
        self.asked: Iterable[Asked] = ()
        """The budgets that the reservation was made with."""
        self.refusal: Refusal | None = None
        """A budget's."""
        self.notices: list[tuple[bytes, bytes]] = []
        """Headers that tell of budgets near their limits."""
        telemetry = services.telemetry
        self.journey = (
            telemetry.begin(call.fields, call.headers, call.started)
            if telemetry is not None
            else None
        )
        """Its trace and attempts; None while telemetry is off."""

        self.cache_status = BYPASS
        self.cache_tier = ""
        self.cache_similarity: float | None = None
        self.cache_note = ""
        """Why the cache did not answer, or how it came to answer."""
        self.hit: Hit | None = None
        self.on_row: Callable[[UsageRow], None] | None = None
        """Is told the row once it is recorded."""

    def decided(self, decision: Decision) -> None:
        """Note what was decided; the model is the first that will be asked for."""
        self.decision = decision
        self.model = decision.model or self.call.model

    def finish(self) -> UsageRow:
        """Record the request; a second call changes nothing."""
        if self.row is None:
            try:
                row = self._row()
            except Exception:  # a fault in there must cost neither the row nor the answer
                logger.exception("Request %s could not be measured", self.call.request_id)
                row = self._plain_row()
            self.row = row
            if not self.unrecorded:
                self.services.ledger.record(row)
            try:
                self._tell_others(row)
            except Exception:  # the row is recorded; nor must this break the answer
                logger.exception("Request %s was not noted everywhere", row.request_id)
        return self.row

    def _tell_others(self, row: UsageRow) -> None:
        if self.ticket is not None:
            used = units_of(row, "tokens") if self.ticket.counts_tokens else 0
            self.ticket.settle(used, sent=self.sent)
        if self.unrecorded:
            return
        self.services.today.add(row)
        if self.services.prompts is not None:
            self._keep_prompt(row, self.services.prompts)
        if self.journey is not None:
            self._tell(row, self.journey)
        if self.on_row is not None:
            self.on_row(row)

    def _plain_row(self) -> UsageRow:
        """What is known without any reckoning; its cost is unknown if anything was sent."""
        call = self.call
        row = UsageRow(
            request_id=call.request_id,
            created_at=call.arrived,
            api_type=call.api_type,
            method=call.method,
            endpoint=clean(call.path, NAME_LENGTH),
            model_requested=call.model,
            model_used=self.model,
            upstream=self.candidate.name if self.candidate is not None else "",
            status_code=self.status or CLIENT_GONE,
            error_type=self.error_type or UNMEASURED,
            stream=call.stream,
            latency_ms=call.elapsed_ms(),
            source_app=call.app,
            session_id=call.session,
            feature_tag=call.tag,
            attempts=self.attempts,
            cost=None if self.sent else "0.0000000000",
        )
        if self.reservation is not None:
            with contextlib.suppress(Exception):  # the lease ends by itself
                usd, tokens = units_of(row, "usd"), units_of(row, "tokens")
                row.holds = self.reservation.settle(usd, tokens)
        return row

    def _keep_prompt(self, row: UsageRow, prompts: PromptSpool) -> None:
        """Hand prompt and answer over to be stored, where a provider answered one."""
        call, tap = self.call, self.tap
        if tap is None or not call.body or call.endpoint.billing != "tokens":
            return
        pieces, whole = tap.kept()
        whole = whole and tap.answer.complete
        prompts.put(row, call.body, tuple(pieces), headers=call.fields, response_whole=whole)

    def _row(self) -> UsageRow:
        call, tap = self.call, self.tap
        answer = tap.answer if tap is not None else None
        measured = measure(call, tap, self.upstream_status, sent=self.sent)
        asked = self.model
        model = (answer.model if answer is not None else "") or asked
        row = UsageRow(
            request_id=call.request_id,
            created_at=call.arrived,
            api_type=call.api_type,
            method=call.method,
            endpoint=clean(call.path, NAME_LENGTH),
            model_requested=call.model,
            model_used=clean(model, NAME_LENGTH),
            upstream=self.candidate.name if self.candidate is not None else "",
            status_code=self.status or CLIENT_GONE,
            # The provider's own word first: SDKs hang up as soon as a stream says "error".
            error_type=clean((answer.error_type if answer else "") or self.error_type, 100),
            stream=call.stream,
            usage_estimated=measured.estimated,
            latency_ms=call.elapsed_ms(),
            source_app=call.app,
            session_id=call.session,
            feature_tag=call.tag,
            attempts=self.attempts,
        )
        if (decision := self.decision) is not None:
            if decision.rule is not None:
                row.routing_rule = decision.rule.rule_name
            if decision.assignment is not None:
                row.ab_test = decision.assignment.test
                row.ab_variant = decision.assignment.variant
            row.decision = self._decided(decision)
        if self.attempt_log:
            row.attempt_log = self.attempt_log[:LOG_LENGTH]
        if asked != call.model:
            row.model_routed = asked
        if self.sent:
            row.overhead_ms = int(self.overhead * 1e6) / 1e3
        if call.stream and self.first_byte is not None:
            row.ttft_ms = int((self.first_byte - call.started) * 1000)
        if answer is not None:
            row.service_tier = clean(answer.service_tier, 50)
            row.finish_reason = clean(answer.finish_reason, 50)
        if (usage := measured.usage) is not None:
            self._count(row, usage)
            cost = self._cost(model, usage, answer)
            row.cost = f"{cost:.10f}" if cost is not None else None
            if cost is not None and asked != call.model and self._was_routed():
                row.routing_saved = self._saved(usage, cost)
        if self.cache_status is not BYPASS or self.cache_note:
            self._cached(row)
        if self.reservation is not None:
            self._settle(row, self.reservation)
        return row

    def _tell(self, row: UsageRow, journey: Journey) -> None:
        assert self.services.telemetry is not None
        finished = Finished(
            row,
            journey,
            self.call.endpoint.kind,
            self.upstream_status,
            self.call.started,
            self.first_byte,
            time.monotonic(),
        )
        self.services.telemetry.finished(finished)

    def _decided(self, decision: Decision) -> str:
        """What the columns do not tell of a decision, as compact JSON; empty where nothing was
        decided. `proxy.recorded` puts it into words.

        Of each budget: name, unit, units reserved (0 where it only counts), units spent then,
        and limit.
        """
        found: dict[str, Any] = {}
        if decision.rule is not None:
            found["rule"] = decision.rule.rule_id
        if len(decision.targets) > 1:
            found["order"] = [_place(target, decision.model) for target in decision.targets]
        if self.asked:
            found["budgets"] = [
                (spec.name, spec.unit, need if spec.action == "block" else 0, spent, spec.limit)
                for spec, spent, need in self.asked
            ]
        if (refusal := self.refusal) is not None:
            found["refused"] = {
                "by": refusal.spec.name,
                "code": refusal.code,
                "unit": refusal.spec.unit,
                "needed": refusal.needed,
                "spent": refusal.spent,
                "limit": refusal.spec.limit,
            }
        if not found and decision.assignment is None and not decision.problem:
            return ""
        return _compact({"policy": self.services.policies.snapshot.version, **found})

    def _cached(self, row: UsageRow) -> None:
        """What the cache did; of a hit, the tokens of the answer that it served."""
        row.cache_tier = self.cache_tier
        row.cache_note = clean(self.cache_note, 100)
        row.cache_similarity = self.cache_similarity
        if (hit := self.hit) is None:
            return
        row.cache_entry = hit.entry
        row.model_used = hit.model
        row.saved_cost = hit.cost
        row.service_tier = hit.service_tier
        row.finish_reason = hit.finish_reason
        row.usage_estimated = hit.usage_estimated
        if (usage := hit.usage) is not None:
            self._count(row, usage)

    @staticmethod
    def _count(row: UsageRow, usage: TokenUsage) -> None:
        row.input_tokens = usage.input
        row.output_tokens = usage.output
        row.cache_read_tokens = usage.cache_read
        row.cache_write_tokens = usage.cache_write
        row.cache_write_1h_tokens = usage.cache_write_1h
        row.reasoning_tokens = usage.reasoning
        row.input_audio_tokens = usage.input_audio
        row.output_audio_tokens = usage.output_audio

    def _settle(self, row: UsageRow, reservation: Reservation) -> None:
        usd, tokens = units_of(row, "usd"), units_of(row, "tokens")
        row.holds = reservation.settle(usd, tokens)
        if row.status_code < 400 and not row.usage_estimated:
            kind = self.call.endpoint.kind
            self.services.habits.learn(kind, self.model, output=row.output_tokens, cost=usd)

    def _was_routed(self) -> bool:
        """A test's other model is an experiment, and no saving."""
        return self.decision is not None and self.decision.assignment is None

    def _saved(self, usage: TokenUsage, cost: Decimal) -> str | None:
        """What the requested model would have cost more."""
        requested = self._cost(self.call.model, usage, None)
        return None if requested is None else f"{requested - cost:.10f}"

    def _cost(self, model: str, usage: TokenUsage, answer: Answer | None) -> Decimal | None:
        if usage == NOTHING:
            return ZERO
        return self.services.policies.snapshot.prices.cost(
            model,
            usage,
            api_type=self.call.api_type,
            base_url=self.candidate.base_url if self.candidate is not None else "",
            at=self.call.arrived,
            service_tier=answer.service_tier if answer is not None else "",
            speed=answer.speed if answer is not None else "",
        )


def _place(target: Target, model: str) -> str:
    """A target as the decision's order names it: the upstream, with its model where it is not
    the first that is asked for."""
    name = target.candidate.name
    return name if target.model == model else f"{name} {target.model}"


def _compact(found: dict[str, Any]) -> str:
    """JSON that fits its column; of long lists, the ends are left out and counted."""
    text = orjson.dumps(found).decode()
    for name in ("budgets", "order"):
        listed = found.get(name, [])
        while len(text) > DECISION_LENGTH and listed:
            listed.pop()
            found[f"more_{name}"] = found.get(f"more_{name}", 0) + 1
            text = orjson.dumps(found).decode()
    return text
