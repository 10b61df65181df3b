"""The stage between gate and reservation: an answer from the cache, or from a like request.

`look_up` answers from an entry where there is one, follows an identical request that is under
way, or leaves the request to go on as a miss; then `Stage.keep` keeps what the provider said.
How it fails: as a miss. What cannot be looked up in time goes on; an identical request that
comes to nothing leaves each that waited for it to ask for itself.
"""

import time
from contextlib import aclosing
from dataclasses import dataclass

from cache import keys
from cache.desk import CacheDesk
from cache.eligibility import Verdict, judge
from cache.entry import LARGEST, Entry, calls_tool, is_fit
from cache.flights import Flight, FlightFailed
from cache.outcomes import Found
from proxy import headers as fields
from proxy.call import Call
from proxy.client import Client, ClientGone
from proxy.decision import Decision
from proxy.finish import HIT, MISS, Ending, Hit
from proxy.relay import cost_headers, our_headers
from proxy.services import Services
from tokenwatch.tokens import TokenUsage
from upstreams.errors import BrokenBody
from usage.rows import UsageRow

SINGLE_FLIGHT = "single-flight"
_KEPT = frozenset({b"content-type", b"x-request-id", b"request-id"})
"""Headers of an answer that are true of it whenever it is served."""
_SHARED = _KEPT | {b"content-encoding"}
_EVENTS = b"text/event-stream"

Pairs = list[tuple[bytes, bytes]]


@dataclass(slots=True)
class Stage:
    """What the cache knows of one request that goes on to a provider."""

    call: Call
    client: Client
    ending: Ending
    cache: CacheDesk
    verdict: Verdict
    keyed: keys.Keyed
    compared: keys.Compared | None
    flight: Flight[UsageRow]
    model: str
    key: str
    """With ``model``, which is asked first; another may answer."""
    flight_key: tuple[str, bytes] | None = None
    """Where others find the flight; None where nobody may join it."""

    # What the client gets (`proxy.client.Copy`)

    def head(self, status: int, headers: Pairs) -> None:
        self.flight.head(status, headers)

    def part(self, data: bytes) -> None:
        self.flight.part(data)

    def is_wanted(self) -> bool:
        """Whether others wait for the answer of a client that has left."""
        if self.flight.followers:
            self.ending.error_type = "client_disconnected"
        return self.flight.followers > 0

    # Its life

    def take_off(self, *, shared: bool) -> None:
        """From here on identical requests wait for this one."""
        self.client.copy = self
        self.flight.on_abandoned = self.client.abandon
        if shared:
            self.flight_key = self.key, self.call.fields.get(b"accept-encoding", b"")
            self.cache.flights[self.flight_key] = self.flight
            self.ending.on_row = self._tell

    def _tell(self, row: UsageRow) -> None:
        self.flight.facts = row

    def keep(self) -> None:
        """After the answer: keep it if it is fit, and let followers end."""
        whole = self.client.answered
        if whole and self.verdict.keeps and (entry := self._entry()) is not None:
            self.cache.put(entry)
        self.flight.end(whole=whole)

    def land(self) -> None:
        """However the request ended: nobody waits for it any longer."""
        self.flight.end(whole=False)
        if self.flight_key is not None:
            if self.cache.flights.get(self.flight_key) is self.flight:
                del self.cache.flights[self.flight_key]
            self.flight_key = None
        # No circles: without them a request's objects go by themselves, at once.
        self.flight.on_abandoned = self.client.copy = self.ending.on_row = None

    def _entry(self) -> Entry | None:
        """The answer as an entry, under the model that was asked; None if it is not fit."""
        call, ending, row = self.call, self.ending, self.ending.row
        tap = ending.tap
        if row is None or tap is None:
            return None
        fit = is_fit(
            status=self.flight.status,
            kind=call.endpoint.kind,
            complete=tap.answer.complete,
            error_type=tap.answer.error_type,
            finish_reason=row.finish_reason,
        )
        body = self._body() if fit else None
        if body is None:
            return None
        # What a tool is asked to do hangs on each word.
        compared = self.compared
        if compared is not None and calls_tool(body):
            compared = None
        return Entry(
            key=self.key if ending.model == self.model else self.keyed.key(ending.model),
            request_id=call.request_id,
            api_type=call.api_type,
            kind=call.endpoint.kind,
            endpoint=row.endpoint,
            model=row.model_routed or row.model_requested,
            model_used=row.model_used,
            app=call.app,
            stream=call.stream,
            status=self.flight.status,
            headers=tuple(pair for pair in self.flight.headers if pair[0] in _KEPT),
            body=body,
            usage=usage_of(row),
            usage_estimated=row.usage_estimated,
            service_tier=row.service_tier,
            finish_reason=row.finish_reason,
            cost=row.cost,
            created_at=call.arrived,
            expires_at=call.arrived + self.verdict.ttl,
            prompt=compared.text if compared is not None else "",
            partition=compared.partition(ending.model) if compared is not None else "",
        )

    def _body(self) -> bytes | None:
        """What was sent, without content encoding; None where it is too long or unreadable."""
        tap, flight = self.ending.tap, self.flight
        assert tap is not None
        if not flight.whole:
            return None
        if tap.rewrites or not fields.first(flight.headers, b"content-encoding"):
            return b"".join(flight.parts)
        pieces, whole = tap.kept()
        body = b"".join(pieces) if whole else b""
        return body if 0 < len(body) <= LARGEST else None


async def look_up(
    call: Call, decision: Decision, client: Client, services: Services, ending: Ending
) -> Stage | None:
    """Answer from the cache if it can; then ``client.started`` says so.

    Otherwise the request goes on, with the stage that keeps its answer; None where the cache
    has no part in it.

    Raises:
        ClientGone: the client left meanwhile.
    """
    cache = services.cache
    assert cache is not None
    config = services.config
    verdict = judge(
        method=call.method,
        kind=call.endpoint.kind,
        body=call.body,
        data=call.data,
        header=fields.text(call.fields, b"x-tokenwatch-cache", 200),
        ttl=config.cache_ttl,
        semantic=cache.tier is not None,
    )
    if verdict.reason:
        ending.cache_note = verdict.reason[:100]
        return None
    stage = _stage(call, decision, client, ending, cache, verdict)
    key = stage.key
    if not verdict.reads:
        ending.cache_note = "no-cache"
        stage.take_off(shared=False)
        return stage
    ending.cache_status = MISS
    now = call.arrived
    entry = cache.get(key, now)
    if entry is None and cache.knows(key):
        entry = await cache.load(key, now)
    if entry is not None and _is_young(entry, verdict, now):
        if not cache.serves:
            ending.cache_note = "shadow: exact"
            stage.take_off(shared=False)
            return stage
        await _serve(call, client, ending, cache, entry, "exact")
        return None
    alone = not config.cache_single_flight or not cache.serves
    if not alone:
        flight = cache.flights.get((key, call.fields.get(b"accept-encoding", b"")))
        if flight is not None and flight.shared:
            if await _follow(call, client, ending, flight):
                return None
            alone = True  # what it waited for failed: those that waited ask side by side
    stage.take_off(shared=not alone)
    try:
        if stage.compared is not None and await _similar(stage, now):
            stage.land()  # who waited finds as much
            return None
    except BaseException:
        stage.land()
        raise
    return stage


def _stage(
    call: Call,
    decision: Decision,
    client: Client,
    ending: Ending,
    cache: CacheDesk,
    verdict: Verdict,
) -> Stage:
    assert call.body is not None
    assert call.data is not None
    rule = decision.rule
    asked = keys.Asked(
        kind=call.endpoint.kind,
        api_type=call.api_type,
        path=call.path,
        query=call.query,
        headers=call.headers,
        body=call.body,
        data=call.data,
        stream=call.stream,
        caller=str(call.key.id) if call.key is not None else "",
        route=",".join(sorted(name for name, _ in rule.upstreams)) if rule else "",
    )
    compared = keys.compared(asked) if verdict.semantic else None
    keyed = keys.keyed(asked)
    model = ending.model
    flight: Flight[UsageRow] = Flight(LARGEST)
    return Stage(
        call, client, ending, cache, verdict, keyed, compared, flight, model, keyed.key(model)
    )


def _is_young(entry: Entry, verdict: Verdict, now: float) -> bool:
    """Whether an entry is not older than the client wants it to be."""
    return now < entry.created_at + verdict.ttl


async def _similar(stage: Stage, now: float) -> bool:
    """Answer with the answer to a similar prompt; False where there is none."""
    cache, ending, compared = stage.cache, stage.ending, stage.compared
    assert cache.tier is not None
    assert compared is not None
    deadline = time.monotonic() + cache.timeout
    found = await cache.tier.lookup(compared.partition(ending.model), compared.text, deadline)
    if not isinstance(found, Found):
        distance = f" {found.nearest.distance:.4f}" if found.nearest is not None else ""
        ending.cache_note = f"semantic: {found.reason}{distance}"
        return False
    entry = await cache.load_id(found.entry_id, now, deadline)
    if entry is not None and not cache.serves:
        ending.cache_note = f"shadow: semantic {found.distance:.4f}"
        return False
    if entry is None or not _is_young(entry, stage.verdict, now):
        if entry is None and time.monotonic() < deadline:
            cache.forget(found.entry_id)
        ending.cache_note = "semantic: the entry is gone"
        return False
    stage.client.copy = None
    similarity = 1 - found.distance
    await _serve(stage.call, stage.client, ending, cache, entry, "semantic", similarity)
    return True


async def _serve(
    call: Call,
    client: Client,
    ending: Ending,
    cache: CacheDesk,
    entry: Entry,
    tier: str,
    similarity: float | None = None,
) -> None:
    """Send an entry's answer; its row is recorded before."""
    ending.cache_tier, ending.cache_similarity, ending.cache_note = tier, similarity, ""
    ending.hit = Hit(
        entry=entry.request_id,
        model=entry.model_used,
        usage=entry.usage,
        usage_estimated=entry.usage_estimated,
        service_tier=entry.service_tier,
        finish_reason=entry.finish_reason,
        cost=entry.cost,
    )
    cache.used(entry, call.arrived)
    await _send_whole(client, ending, entry.status, entry.headers, entry.body)


async def _send_whole(
    client: Client,
    ending: Ending,
    status: int,
    kept: Pairs | tuple[tuple[bytes, bytes], ...],
    body: bytes,
) -> None:
    ending.cache_status = HIT
    ending.status = status
    ending.first_byte = time.monotonic()
    row = ending.finish()
    headers = [*kept]
    if not fields.first(headers, b"content-type").startswith(_EVENTS):
        headers += [(b"content-length", b"%d" % len(body)), *cost_headers(row)]
    await client.answer(status, headers + our_headers(ending), body)


async def _follow(call: Call, client: Client, ending: Ending, flight: Flight[UsageRow]) -> bool:
    """Answer with what an identical request is told; False where that comes to nothing.

    Raises:
        ClientGone: the client left meanwhile.
    """
    client.watch(body_read=True)
    if client.gone:
        raise ClientGone
    flight.join()
    try:
        await flight.answered()
        kept = [pair for pair in flight.headers if pair[0] in _SHARED]
        if flight.ended:
            ending.cache_tier, ending.cache_note = "exact", SINGLE_FLIGHT
            ending.hit = _hit_of(flight)
            await _send_whole(client, ending, flight.status, kept, b"".join(flight.parts))
        else:
            await _send_along(client, ending, flight, kept)
    except FlightFailed:
        if not client.started:
            return False
        ending.error_type = BrokenBody.code  # the client's connection breaks, as the first one's
    finally:
        flight.leave()
    return True


async def _send_along(
    client: Client, ending: Ending, flight: Flight[UsageRow], kept: Pairs
) -> None:
    """Send an answer that is under way, part by part."""
    ending.cache_status = HIT
    ending.status = flight.status
    ending.cache_note = SINGLE_FLIGHT
    ending.cache_tier = "exact"
    await client.start(flight.status, kept + our_headers(ending))
    async with aclosing(flight.follow()) as parts:
        async for part in parts:
            if ending.first_byte is None:
                ending.first_byte = time.monotonic()
            if flight.facts is not None and ending.row is None:
                ending.hit = _hit_of(flight)
                ending.finish()  # before the client can see the end
            await client.write(part)
    ending.hit = ending.hit or _hit_of(flight)
    ending.finish()
    await client.finish()


def _hit_of(flight: Flight[UsageRow]) -> Hit | None:
    row = flight.facts
    if row is None:
        return None
    return Hit(
        entry=row.request_id,
        model=row.model_used,
        usage=usage_of(row),
        usage_estimated=row.usage_estimated,
        service_tier=row.service_tier,
        finish_reason=row.finish_reason,
        cost=row.cost,
    )


def usage_of(row: UsageRow) -> TokenUsage:
    """The tokens of a row."""
    return TokenUsage(
        input=row.input_tokens,
        output=row.output_tokens,
        cache_read=row.cache_read_tokens,
        cache_write=row.cache_write_tokens,
        cache_write_1h=row.cache_write_1h_tokens,
        reasoning=row.reasoning_tokens,
        input_audio=row.input_audio_tokens,
        output_audio=row.output_audio_tokens,
    )
