"""A request that nobody has sent, and what it would be decided with: for `explain-request`.

Policies, spending and health are read from the database as a worker that has just started
reads them; nothing is written. How it fails: the database's errors are passed on.
"""

import time
from collections.abc import Iterable

from budgets.estimate import Habits
from budgets.figures import spent_and_leased
from budgets.still import StillDesk
from proxy import headers as fields
from proxy.bodies import multipart_model
from proxy.call import NAME_LENGTH, Call, identify, read_body
from proxy.explain import World
from proxy.snapshot import Policies
from tokenwatch.conf import Config
from upstreams.health import Health
from upstreams.store import left_out, load_health
from usage.today import TodaysCost

PATHS = {"anthropic": "v1/messages", "openai": "v1/chat/completions"}
"""What is asked for where nobody says."""


def world(config: Config, api_type: str, at: float) -> World:
    """What decides at a moment, in seconds since the epoch, as the database has it now."""
    policies = Policies(config)
    policies.read()
    health = Health(config)
    health.heard_of(load_health())
    today = TodaysCost(lambda: policies.snapshot.rules.needs_cost, lambda: 0, now=lambda: at)
    today.refresh()
    return World(
        config=config,
        policies=policies,
        habits=Habits(),
        health=health,
        desk=StillDesk(spent_and_leased),
        today=today,
        left_out=left_out(api_type),
    )


def monotonic(at: float) -> float:
    """A moment on the monotonic clock."""
    return time.monotonic() + at - time.time()


def request(
    api_type: str,
    body: bytes,
    *,
    path: str = "",
    method: str = "POST",
    headers: Iterable[tuple[bytes, bytes]] = (),
    at: float | None = None,
) -> Call:
    """A request as the proxy would have it after `receive`; header names in lower case."""
    asked, _, query = (path.lstrip("/") or PATHS[api_type]).partition("?")
    whole = f"/{api_type}/{asked}"
    call = identify(
        {
            "path": whole,
            "raw_path": whole.encode(),
            "query_string": query.encode(),
            "method": method,
            "headers": list(headers),
        }
    )
    assert call is not None
    if at is not None:
        call.arrived = at
    if not call.streams_body:
        read_body(call, body)
    elif call.fields.get(b"content-type", b"").lower().startswith(b"multipart"):
        call.model = fields.clean(multipart_model(body), NAME_LENGTH)
    return call
