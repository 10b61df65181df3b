"""The life of a request, top-down.

Identify, let in, decide, budget gate, cache, reserve, forward, finish: the stages of the design,
in its order. `forward` goes through what `decide` chose, best first. Every way out,
whatever raised, leads through `Ending.finish`, which is synchronous and does its work once.
"""

import asyncio
import time

from budgets.accounts import Account
from budgets.estimate import expected_usage
from budgets.refusals import Refusal, Refused, Unknown, notices
from proxy import headers as fields
from proxy.accounting import expected_cost
from proxy.bodies import multipart_model
from proxy.caching import Stage, look_up
from proxy.call import NAME_LENGTH, Call, read_body
from proxy.client import Client, ClientGone, TooLarge
from proxy.decision import decide
from proxy.entry import GATED, count_in, let_in, limit_tokens, permitted
from proxy.finish import Ending
from proxy.forwarding import forget_cancellation, forward
from proxy.refusing import TURNED_AWAY, turn_away
from proxy.relay import relay
from proxy.services import Services
from proxy.snapshot import Snapshot
from tokenwatch.conf import Config
from upstreams.candidates import Target
from upstreams.errors import NoUpstream
from upstreams.transport import CancelledBeforeSending, Exchange

MODEL_SOUGHT_IN = 64 * 1024
"""Bytes of an upload that are searched for the form's model field. Where the model makes the
price, the whole of it is, up to TOKENWATCH_MAX_BODY_BYTES: a form may send its file first."""


async def handle(call: Call, client: Client, services: Services) -> None:
    """Serve one request under ``/anthropic/`` or ``/openai/``."""
    ending = Ending(call, services)
    exchange: Exchange | None = None
    stage: Stage | None = None
    try:
        snapshot = services.policies.snapshot
        let_in(call, snapshot, services)
        ending.ticket = count_in(call, snapshot, services)
        await receive(call, client, services)
        snapshot = services.policies.snapshot
        tag(call, snapshot)
        decision = decide(call, snapshot, services.today, services.health, time.monotonic())
        ending.decided(decision)
        if decision.problem:
            raise NoUpstream(decision.problem)
        targets = permitted(call, decision.targets)
        ending.model = targets[0].model
        if ending.ticket is not None and ending.ticket.counts_tokens and call.method in GATED:
            limit_tokens(ending.ticket, expected(call, targets[0], services)[1])
        accounts = budget_gate(call, ending.model, snapshot, services, ending)
        if services.cache is not None:
            stage = await look_up(call, decision, client, services, ending)
            if client.started:
                return
        if accounts:
            await reserve(call, targets[0], accounts, services, ending)
        exchange = await forward(call, targets, client, services, ending, ask_again)
        await relay(call, exchange, client, ending)
        if stage is not None:
            stage.keep()
    except TURNED_AWAY as exc:
        await turn_away(exc, ending, client, services.config)
    except ClientGone:
        ending.error_type = "client_disconnected"
    except asyncio.CancelledError as exc:
        if isinstance(exc, CancelledBeforeSending):
            ending.sent = False
        ending.error_type = "client_disconnected" if client.gone else "worker_stopped"
        if not client.gone:
            raise
        forget_cancellation()
    finally:
        client.release()
        if exchange is not None:
            exchange.close()
        ending.finish()
        if stage is not None:
            stage.land()


async def receive(call: Call, client: Client, services: Services) -> None:
    """Read the body; of one that is streamed through, as much as it takes to know the model."""
    if call.streams_body:
        await _look_into_upload(call, client, services.config)
        return
    limit = services.config.max_body_bytes
    length = call.fields.get(b"content-length", b"0")
    if length.isdigit() and int(length) > limit:
        raise TooLarge  # before the client is told to go on by a 100
    asked = time.monotonic()
    body = await client.body(limit, services.config.overall_timeout)
    call.waited = time.monotonic() - asked
    read_body(call, body)


def tag(call: Call, snapshot: Snapshot) -> None:
    """Give the request the tag of the first rule that matches, where its client sent none."""
    if not call.tag:
        call.tag = snapshot.tags.tag(call.app, call.last_user_text)


def budget_gate(
    call: Call, model: str, snapshot: Snapshot, services: Services, ending: Ending
) -> list[Account]:
    """The accounts of all budgets that the request counts against, with the model to be asked.

    Raises:
        Refused: one of them admits nothing.
        Unknown: nobody can say which budgets there are, and that refuses.
    """
    if call.method not in GATED:
        return []
    config = services.config
    if snapshot.version < 0 and config.budget_enabled and config.budget_fail_mode == "closed":
        raise Unknown
    budgets = snapshot.budgets.matching(call.app, model, call.tag, call.session)
    if not budgets:
        return []
    accounts = services.desk.accounts(budgets, call.arrived)
    ending.notices = notices(accounts)
    if refusal := services.desk.gate(accounts):
        raise Refused(refusal)
    return accounts


async def reserve(
    call: Call,
    target: Target,
    accounts: list[Account],
    services: Services,
    ending: Ending,
) -> None:
    """Hold what the request may use of every budget that blocks.

    Raises:
        Refused: one of them does not leave as much.
    """
    usd, tokens = expected(call, target, services)
    needs = [max(1, tokens if a.spec.unit == "tokens" else usd) for a in accounts]
    held = await services.desk.reserve(accounts, needs)
    if isinstance(held, Refusal):
        raise Refused(held)
    ending.reservation = held
    ending.reserved = usd
    ending.asked = [(a.spec, a.known_spent, need) for a, need in zip(accounts, needs, strict=True)]


async def ask_again(call: Call, target: Target, services: Services, ending: Ending) -> bool:
    """Before the request goes to the next target: whether its budgets allow that one too.

    What failed is not billed, so what was held for it is released. A target that costs no more
    under the same budgets goes on with what is held.
    """
    snapshot = services.policies.snapshot
    if not snapshot.budgets.specs:
        return True
    if ending.reservation is not None:
        if target.model == ending.model and expected(call, target, services)[0] <= ending.reserved:
            return True
        ending.reservation.settle(0, 0)
        ending.reservation = None
    try:
        if accounts := budget_gate(call, target.model, snapshot, services, ending):
            await reserve(call, target, accounts, services, ending)
    except (Refused, Unknown):
        return False
    return True


def expected(call: Call, target: Target, services: Services) -> tuple[int, int]:
    """What a target may cost: units of a dollar, and tokens."""
    habits, prices = services.habits, services.policies.snapshot.prices
    usage = expected_usage(call.dialect, call.endpoint, call.data, target.model, habits)
    usd = expected_cost(call, target, usage, habits, prices)
    return usd, usage.input + usage.output


async def _look_into_upload(call: Call, client: Client, config: Config) -> None:
    if not call.fields.get(b"content-type", b"").lower().startswith(b"multipart"):
        return  # only a form names a model

    def names_model(part: bytes) -> bool:
        call.model = fields.clean(multipart_model(part), NAME_LENGTH)
        return call.model != ""

    asked = time.monotonic()
    billed = call.endpoint.billing in ("units", "tokens")
    limit = config.max_body_bytes if billed else MODEL_SOUGHT_IN
    await client.start_of_upload(names_model, limit, config.overall_timeout)
    call.waited = time.monotonic() - asked
