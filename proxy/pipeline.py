"""The life of a request, top-down.

Identify, decide, budget gate, cache, reserve, forward, finish: the stages of the design,
in its order. Decide takes the first of the candidates; gate, cache and reserve have their
places between `decide` and `forward`. Every way out, whatever raised, leads through
`Ending.finish`, which is synchronous and does its work once.
"""

import asyncio
import time

from budgets.accounts import Account
from budgets.estimate import expected_usage
from budgets.refusals import UNREACHABLE, Refusal, Refused, Unknown, notices
from proxy import headers as fields
from proxy.accounting import expected_cost
from proxy.bodies import asking_for_usage, multipart_model
from proxy.call import NAME_LENGTH, Call, read_body
from proxy.client import Client, ClientGone, TooLarge, TooSlow
from proxy.finish import Ending
from proxy.relay import refuse, relay
from proxy.services import Services
from proxy.snapshot import Snapshot
from tokenwatch.conf import Config
from upstreams.candidates import Candidate
from upstreams.errors import UpstreamError
from upstreams.transport import Exchange

MODEL_SOUGHT_IN = 64 * 1024
"""Bytes of an upload that are searched for the form's model field. Where the model makes the
price, the whole of it is, up to TOKENWATCH_MAX_BODY_BYTES: a form may send its file first."""


GATED = frozenset({"POST", "PUT", "PATCH"})
"""Methods that may make a provider do something that costs."""


async def handle(call: Call, client: Client, services: Services) -> None:
    """Serve one request under ``/anthropic/`` or ``/openai/``."""
    ending = Ending(call, services)
    exchange: Exchange | None = None
    try:
        await receive(call, client, services)
        snapshot = services.policies.snapshot
        tag(call, snapshot)
        candidate = decide(call, snapshot)
        accounts = budget_gate(call, snapshot, services, ending)
        if accounts:
            await reserve(call, candidate, accounts, services, ending)
        exchange = await forward(call, candidate, client, services, ending)
        await relay(call, exchange, client, ending)
    except TooLarge:
        limit = services.config.max_body_bytes
        message = f"The request body is larger than TOKENWATCH_MAX_BODY_BYTES ({limit} bytes)."
        await refuse(ending, client, 413, "request_too_large", message)
    except TooSlow:
        message = "The request body did not arrive within TOKENWATCH_OVERALL_TIMEOUT."
        await refuse(ending, client, 408, "request_timeout", message)
    except Refused as exc:
        refused = exc.refusal
        await refuse(
            ending,
            client,
            refused.status,
            refused.code,
            refused.message,
            details=refused.details(),
            headers=refused.headers(time.time()),
        )
    except Unknown as exc:
        await refuse(ending, client, 503, UNREACHABLE, str(exc), headers=exc.headers)
    except UpstreamError as exc:
        name = ending.candidate.name if ending.candidate else ""
        await refuse(ending, client, exc.status, exc.code, f"Upstream {name}: {exc}")
    except ClientGone:
        ending.error_type = "client_disconnected"
    except asyncio.CancelledError:
        ending.error_type = "client_disconnected" if client.gone else "worker_stopped"
        if not client.gone:
            raise
        _forget_cancellation()
    finally:
        client.release()
        if exchange is not None:
            exchange.close()
        ending.finish()


async def receive(call: Call, client: Client, services: Services) -> None:
    """Read the body; of one that is streamed through, as much as it takes to know the model."""
    if call.streams_body:
        await _look_into_upload(call, client, services.config)
        return
    limit = services.config.max_body_bytes
    length = call.fields.get(b"content-length", b"0")
    if length.isdigit() and int(length) > limit:
        raise TooLarge  # before the client is told to go on by a 100
    read_body(call, await client.body(limit, services.config.overall_timeout))


def tag(call: Call, snapshot: Snapshot) -> None:
    """Give the request the tag of the first rule that matches, where its client sent none."""
    if not call.tag:
        call.tag = snapshot.tags.tag(call.app, call.last_user_text)


def decide(call: Call, snapshot: Snapshot) -> Candidate:
    """Who answers."""
    return snapshot.upstreams[call.api_type][0]


def budget_gate(
    call: Call, snapshot: Snapshot, services: Services, ending: Ending
) -> list[Account]:
    """The accounts of all budgets that the request counts against.

    Raises:
        Refused: one of them admits nothing.
        Unknown: nobody can say which budgets there are, and that refuses.
    """
    if call.method not in GATED:
        return []
    config = services.config
    if snapshot.version < 0 and config.budget_enabled and config.budget_fail_mode == "closed":
        raise Unknown
    budgets = snapshot.budgets.matching(call.app, call.model, call.tag, call.session)
    if not budgets:
        return []
    accounts = services.desk.accounts(budgets, call.arrived)
    ending.notices = notices(accounts)
    if refusal := services.desk.gate(accounts):
        raise Refused(refusal)
    return accounts


async def reserve(
    call: Call,
    candidate: Candidate,
    accounts: list[Account],
    services: Services,
    ending: Ending,
) -> None:
    """Hold what the request may use of every budget that blocks.

    Raises:
        Refused: one of them does not leave as much.
    """
    habits, prices = services.habits, services.policies.snapshot.prices
    usage = expected_usage(call.dialect, call.endpoint, call.data, call.model, habits)
    usd = expected_cost(call, candidate, usage, habits, prices)
    tokens = usage.input + usage.output
    needs = [max(1, tokens if a.spec.unit == "tokens" else usd) for a in accounts]
    held = await services.desk.reserve(accounts, needs)
    if isinstance(held, Refusal):
        raise Refused(held)
    ending.reservation = held


async def forward(
    call: Call, candidate: Candidate, client: Client, services: Services, ending: Ending
) -> Exchange:
    """Send the request on and wait for the head of the answer.

    Raises:
        UpstreamError: there is no answer.
    """
    ending.candidate = candidate
    ending.attempts += 1
    headers = fields.for_upstream(call.headers, keep_length=call.streams_body)
    body = call.body
    if asks_usage := _usage_request(call, services):
        # The chunk that is taken out again must be readable.
        headers = fields.replace(headers, b"accept-encoding", b"identity")
        body = asks_usage
        call.usage_added = True
    url = f"{candidate.base_url}/{call.path}" + (f"?{call.query}" if call.query else "")
    client.watch(body_read=not call.streams_body)
    if client.gone:  # it left while its body was read: the provider need not hear of it
        _forget_cancellation()
        raise ClientGone
    ending.sent = True
    try:
        exchange = await services.transport.send(
            call.method, url, headers, client.upload() if call.streams_body else body or None
        )
    except UpstreamError as exc:
        ending.sent = exc.sent
        raise
    ending.upstream_status = exchange.status
    return exchange


def _usage_request(call: Call, services: Services) -> bytes | None:
    """The body with usage asked for, where a stream would otherwise not carry any."""
    if not (call.stream and call.endpoint.asks_usage and services.config.inject_usage):
        return None
    assert call.body is not None
    assert call.data is not None
    return asking_for_usage(call.body, call.data)


async def _look_into_upload(call: Call, client: Client, config: Config) -> None:
    if not call.fields.get(b"content-type", b"").lower().startswith(b"multipart"):
        return  # only a form names a model

    def names_model(part: bytes) -> bool:
        call.model = fields.clean(multipart_model(part), NAME_LENGTH)
        return call.model != ""

    billed = call.endpoint.billing in ("units", "tokens")
    limit = config.max_body_bytes if billed else MODEL_SOUGHT_IN
    await client.start_of_upload(names_model, limit, config.overall_timeout)


def _forget_cancellation() -> None:
    """The cancellation was ours, for the client's leaving: it ends here."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
