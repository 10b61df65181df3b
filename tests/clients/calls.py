"""One call of an SDK as a value, and what a program gets out of making it.

A call is written once and made by both kinds of client: `Call.make` returns what the SDK
returns, and `make` and `make_async` take that to its end, whether it is an object, a stream
of events or a context manager, and whether it succeeds or raises.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Literal

import httpx2
from pydantic import BaseModel

from tests.clients.recording import Exchange, Side, async_client, client

Kind = Literal["object", "events", "helper"]


def per_million(*parts: tuple[int, str]) -> Decimal:
    """Tokens times dollars a million, summed: exact, as a bill would have it."""
    return sum((tokens * Decimal(price) for tokens, price in parts), Decimal(0)) / 1_000_000


@dataclass(frozen=True)
class Accounted:
    """What the ledger is to say. Tokens by their columns; cost in dollars, None if unknown."""

    model: str
    cost: Decimal | None = None
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0
    estimated: bool = False
    """The tokens and the cost are estimates, and their figures are not compared."""


@dataclass(frozen=True)
class Call:
    """One use of an SDK.

    ``kind`` says what ``make`` returns: an object, a stream to iterate, or one of the SDK's
    stream helpers (entered, iterated, and asked for its final value by ``final``).
    """

    name: str
    sdk: Literal["openai", "anthropic"]
    make: Callable[[Any], Any]
    expect: Accounted
    kind: Kind = "object"
    final: str = ""
    raises: str = ""
    """The exception's class where the call is to fail."""
    error_type: str = ""
    status: int = 200
    stream: bool = False
    asked_for_usage: bool = False
    """TokenWatch asks for the stream's usage, and takes it out again."""
    retries: int = 0


_FIELDS = frozenset(field.name for field in fields(Call))


def uses(
    sdk: Literal["openai", "anthropic"], find: Callable[[Any], Callable[..., Any]], **always: Any
) -> Callable[..., Call]:
    """Makes calls of the method that ``find`` finds in a client.

    Of what is given, the names of `Call`'s fields describe the call (a call whose kind is
    ``events`` asks for a stream); everything else is the method's argument, over ``always``.
    """

    def call(name: str, expect: Accounted, **given: Any) -> Call:
        described = {key: given.pop(key) for key in _FIELDS & given.keys()}
        body = {**always, **given}
        if described.get("kind") == "events":
            body["stream"] = True
        return Call(name, sdk, lambda client: find(client)(**body), expect, **described)

    return call


@dataclass(frozen=True)
class Outcome:
    """What a program sees of a call. Two outcomes are compared as wholes."""

    values: list[Any]
    """The object, or the events one by one and the helper's final value."""
    raised: dict[str, Any] | None


@dataclass(frozen=True)
class Made:
    """A call that was made: what the program saw, and what came over the wire."""

    outcome: Outcome
    exchanges: list[Exchange]

    @property
    def answer(self) -> Exchange:
        """The last answer; those before it were retried."""
        return self.exchanges[-1]


def shown(value: Any) -> Any:
    """A value of an SDK as plain values that compare by content, with its class's name."""
    if isinstance(value, BaseModel):
        facts = value.model_dump(warnings=False)
        request_id = getattr(value, "_request_id", None)
        return {
            "class": type(value).__name__,
            "id": request_id,
            "set": sorted(value.model_fields_set),
            **facts,
        }
    if isinstance(value, (str, bytes, int)) or value is None:
        return value
    if hasattr(value, "content"):  # binary content
        return value.content
    raise TypeError(f"no way to compare a {type(value)}")


def parsed(value: Any) -> Any:
    """What a raw response holds, parsed (one SDK's asynchronous ones say so later)."""
    if isinstance(value, BaseModel) or not hasattr(value, "parse"):
        return value
    return value.parse()


def failure(exc: Exception) -> dict[str, Any]:
    """An exception as a program can inspect it, its causes included."""
    names = ("status_code", "body", "request_id", "code", "param", "type")
    facts = {name: getattr(exc, name) for name in names if hasattr(exc, name)}
    cause = exc.__cause__
    return {
        "class": type(exc).__qualname__,
        "message": str(exc),
        "cause": failure(cause) if isinstance(cause, Exception) else None,
        **facts,
    }


def raisable() -> tuple[type[Exception], ...]:
    """What a call is allowed to raise: the SDKs' own errors, and those of their HTTP library."""
    import anthropic
    import openai

    return (openai.OpenAIError, anthropic.AnthropicError, httpx2.HTTPError)


def make(call: Call, side: Side) -> Made:
    """Make the call with a synchronous client."""
    values: list[Any] = []
    raised = None
    with client(call.sdk, side, call.retries) as (opened, exchanges):
        try:
            made = call.make(opened)
            if call.kind == "object":
                values.append(shown(parsed(made)))
            elif call.kind == "events":
                for event in made:
                    values.append(shown(event))
            else:
                with made as stream:
                    for event in stream:
                        values.append(shown(event))
                    values.append(shown(getattr(stream, call.final)()))
        except raisable() as exc:
            raised = failure(exc)
    return Made(Outcome(values, raised), exchanges)


async def make_async(call: Call, side: Side) -> Made:
    """Make the call with an asynchronous client."""
    values: list[Any] = []
    raised = None
    async with async_client(call.sdk, side, call.retries) as (opened, exchanges):
        try:
            made = call.make(opened)
            if call.kind == "object":
                made = parsed(await made)
                values.append(shown(await made if inspect.isawaitable(made) else made))
            elif call.kind == "events":
                async for event in await made:
                    values.append(shown(event))
            else:
                async with made as stream:
                    async for event in stream:
                        values.append(shown(event))
                    values.append(shown(await getattr(stream, call.final)()))
        except raisable() as exc:
            raised = failure(exc)
    return Made(Outcome(values, raised), exchanges)
