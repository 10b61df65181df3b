"""Client keys and rate limits as an app meets them."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import orjson
import pytest

from access.keys import KeyRing, KeySpec, digest
from access.limits import KEY, RATE_LIMIT, LimitIndex, LimitSpec
from tests.fakes import answer, raw_upstream
from tests.proxy.serving import running
from upstreams.candidates import Candidate

KEY_TEXT = "tw-" + "k" * 43
OTHER = "tw-" + "o" * 43
CHAT = "/openai/v1/chat/completions"
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
COMPLETION = orjson.dumps(
    {
        "object": "chat.completion",
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi."}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5},
    }
)


async def answers(connection):
    while True:
        await connection.request()
        await connection.send(answer(COMPLETION, b"content-type: application/json"))


class Keyed:
    """A proxy in front of an upstream that has a credential of its own."""

    def __init__(self, proxy, upstream, http):
        self.proxy = proxy
        self.upstream = upstream
        self.http = http

    def allow(self, *keys, limits=None, upstreams=None):
        policies = self.proxy.services.policies
        policies.snapshot = replace(
            policies.snapshot,
            version=policies.snapshot.version + 2,
            keys=KeyRing(dict(keys)),
            limits=limits or LimitIndex(),
            upstreams=upstreams or policies.snapshot.upstreams,
        )

    def own(self, api_type="openai", **values):
        values = {"credential": "sk-own", **values}
        return Candidate(values.pop("name", "own"), api_type, self.upstream.url, **values)

    async def ask(self, key=KEY_TEXT, path=CHAT, body=BODY, headers=None, method="POST"):
        sent = {"authorization": f"Bearer {key}"} if key else {}
        return await self.http.request(
            method, self.proxy.url + path, json=body, headers={**sent, **(headers or {})}
        )


@asynccontextmanager
async def keyed(tmp_path, *keys, script=answers, limits=None, own=None, **settings):
    async with (
        raw_upstream(script) as upstream,
        running(upstream.url, tmp_path, **settings) as proxy,
        httpx.AsyncClient(timeout=30) as http,
    ):
        it = Keyed(proxy, upstream, http)
        candidates = own(it) if own else [it.own(), it.own("anthropic")]
        by_type = {t: tuple(c for c in candidates if c.api_type == t) for t in TYPES}
        it.allow(*keys, limits=limits, upstreams=by_type)
        yield it


TYPES = ("openai", "anthropic")


def key(text=KEY_TEXT, number=1, **values):
    return digest(text.encode()), KeySpec(number, **{"name": "ci", **values})


def limits(number=1, kind=KEY, **values):
    return LimitSpec(kind, number, "the key 'ci'", **values)


async def test_the_upstreams_credential_takes_the_keys_place(tmp_path):
    async with keyed(tmp_path, key(app="shop", tag="night")) as it:
        got = await it.ask(headers={"X-TokenWatch-App": "mine", "X-TokenWatch-Tag": "day"})
        assert got.status_code == 200
        await it.ask(None, headers={"x-api-key": KEY_TEXT})
        await it.ask(None, "/anthropic/v1/messages", headers={"x-api-key": KEY_TEXT})
        await it.ask(None, headers={"api-key": KEY_TEXT})
        await it.ask(None, headers={"X-TokenWatch-Key": KEY_TEXT})
        assert len(it.upstream.requests) == 5
        for request in it.upstream.requests:
            assert KEY_TEXT.encode() not in request.head + request.body
        first, _, anthropic, *_ = it.upstream.requests
        assert first.values(b"authorization") == [b"Bearer sk-own"]
        assert anthropic.values(b"x-api-key") == [b"sk-own"]
        rows = it.proxy.ledger.rows
        assert (rows[0].source_app, rows[0].feature_tag) == ("shop", "night")


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"enabled": False}, "client_key_revoked"),
        ({"expires_at": 1.0}, "client_key_expired"),
        (None, "client_key_unknown"),
    ],
)
async def test_a_key_that_is_no_good_is_401_in_the_providers_shape(tmp_path, values, code):
    ring = [key(**values)] if values else []
    async with keyed(tmp_path, *ring) as it:
        openai = await it.ask()
        anthropic = await it.ask(path="/anthropic/v1/messages")
        assert openai.status_code == anthropic.status_code == 401
        assert openai.json()["error"]["code"] == code
        assert anthropic.json()["type"] == "error"
        assert anthropic.json()["error"]["type"] == "authentication_error"
        assert anthropic.json()["error"]["code"] == code
        assert KEY_TEXT not in openai.text
        assert it.upstream.connections == 0
        assert it.proxy.ledger.rows == []  # strangers fill no ledger


async def test_requests_without_a_key_pass_until_keys_are_required(tmp_path):
    async with keyed(tmp_path, key()) as it:
        assert (await it.ask("sk-live")).status_code == 200
    async with keyed(tmp_path, key(), require_keys="always") as it:
        refused = await it.ask("sk-live")
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "client_key_missing")
        assert (await it.ask()).status_code == 200
    async with keyed(tmp_path, key(), host="0.0.0.0") as it:
        assert (await it.ask("sk-live")).status_code == 401
    async with keyed(tmp_path, host="0.0.0.0", require_keys="never") as it:
        assert (await it.ask("sk-live")).status_code == 200


async def test_a_worker_that_never_read_the_keys_says_so(tmp_path):
    async with keyed(tmp_path, key()) as it:
        policies = it.proxy.services.policies
        policies.snapshot = replace(policies.snapshot, version=-1)
        refused = await it.ask()
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "client_keys_unavailable"


async def test_a_key_does_not_bring_a_credential_where_the_clients_is_needed(tmp_path):
    def clients(it):
        return [it.own(name="theirs", credential="", forwards_credential=True)]

    async with keyed(tmp_path, key(), own=clients) as it:
        refused = await it.ask()
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "upstream_credential_missing"
        assert refused.headers["x-should-retry"] == "false"
        both = await it.ask("sk-live", headers={"X-TokenWatch-Key": KEY_TEXT})
        assert both.status_code == 200
        (request,) = it.upstream.requests
        assert request.values(b"authorization") == [b"Bearer sk-live"]
        assert request.values(b"x-tokenwatch-key") == []


async def test_of_several_upstreams_the_one_with_a_credential_serves(tmp_path):
    def two(it):
        return [
            it.own(name="theirs", credential="", forwards_credential=True, priority=1),
            it.own(name="ours", priority=2),
        ]

    async with keyed(tmp_path, key(), own=two) as it:
        assert (await it.ask()).headers["x-tokenwatch-upstream"] == "ours"
        assert (await it.ask("sk-live")).headers["x-tokenwatch-upstream"] == "theirs"


async def test_models_and_upstreams_of_a_key(tmp_path):
    def two(it):
        return [it.own(name="us", priority=1), it.own(name="eu", priority=2)]

    good = key(models=("gpt-4o-mini", "o*"), upstreams=("eu",))
    async with keyed(tmp_path, good, key(OTHER, 2, upstreams=("asia",)), own=two) as it:
        assert (await it.ask()).headers["x-tokenwatch-upstream"] == "eu"
        refused = await it.ask(body={**BODY, "model": "gpt-4o"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "model_not_allowed")
        assert "gpt-4o-mini, o*" in refused.json()["error"]["message"]
        unnamed = await it.ask(body={"messages": []})
        assert unnamed.status_code == 403
        assert (await it.ask(path="/openai/v1/models", method="GET", body=None)).status_code == 200
        nowhere = await it.ask(OTHER)
        assert nowhere.json()["error"]["code"] == "upstream_not_allowed"
        assert len(it.upstream.requests) == 2


async def test_a_key_in_the_address_is_refused_and_goes_nowhere(tmp_path):
    async with keyed(tmp_path, key()) as it:
        for query in (f"key={KEY_TEXT}", f"a=b&api_key=%74w-{'k' * 43}"):
            refused = await it.ask("sk-live", f"{CHAT}?{query}")
            assert refused.status_code == 401
            assert KEY_TEXT not in refused.text
        assert it.upstream.connections == 0


async def test_a_page_of_another_site_gets_nothing_on_the_upstreams_account(tmp_path):
    async with keyed(tmp_path) as it:
        evil = {"origin": "https://evil.example", "content-type": "text/plain"}
        refused = await it.ask(None, headers=evil)
        assert refused.status_code == 403
        assert (await it.ask(None, headers={"origin": "null"})).status_code == 403
        assert it.upstream.connections == 0
        for good in ("http://localhost:3000", "http://127.0.0.1:5173"):
            assert (await it.ask(None, headers={"origin": good})).status_code == 200
        assert (await it.ask("sk-live", headers=evil)).status_code == 200


async def test_a_rate_limit_is_a_429_as_the_provider_gives_it(tmp_path):
    async with keyed(tmp_path, key(limit=limits(requests=2))) as it:
        assert [(await it.ask()).status_code for _ in range(2)] == [200, 200]
        refused = await it.ask()
        assert refused.status_code == 429
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert 55 < int(refused.headers["retry-after"]) <= 61
        assert refused.headers["x-ratelimit-limit-requests"] == "2"
        assert refused.headers["x-ratelimit-remaining-requests"] == "0"
        anthropic = await it.ask(path="/anthropic/v1/messages")
        assert anthropic.status_code == 429
        assert anthropic.headers["anthropic-ratelimit-requests-limit"] == "2"
        assert len(it.upstream.requests) == 2
        assert [row.status_code for row in it.proxy.ledger.rows] == [200, 200, 429, 429]


async def test_limits_of_apps_and_of_the_whole_service_need_no_key(tmp_path):
    index = LimitIndex(
        [limits(1, RATE_LIMIT, requests=4)], [("shop", limits(2, RATE_LIMIT, requests=1))]
    )
    async with keyed(tmp_path, limits=index) as it:
        shop = {"X-TokenWatch-App": "shop"}
        found = [(await it.ask("sk", headers=shop)).status_code for _ in range(4)]
        assert found == [200, 429, 429, 429]  # and the refused ones are not the service's
        assert [(await it.ask("sk")).status_code for _ in range(5)] == [200, 200, 200, 429, 429]


async def test_tokens_a_minute_are_those_that_were_used(tmp_path):
    async with keyed(tmp_path, key(limit=limits(tokens=200))) as it:
        found = []
        for _ in range(20):
            found.append(await it.ask(body={**BODY, "max_tokens": 20}))
            if found[-1].status_code != 200:
                break
        assert found[-1].status_code == 429
        # 15 tokens each, and the last did not leave what the next might have used.
        assert len(found) - 1 >= 8
        assert found[-1].headers["x-ratelimit-limit-tokens"] == "200"
        large = await it.ask(body={**BODY, "max_tokens": 5000})
        assert large.headers["x-should-retry"] == "false"


async def test_requests_at_the_same_time_and_their_end(tmp_path):
    gate, reached = asyncio.Event(), asyncio.Semaphore(0)

    async def waits(connection):
        await connection.request()
        reached.release()
        await gate.wait()
        await connection.send(answer(COMPLETION, b"content-type: application/json"))

    async with keyed(tmp_path, key(limit=limits(concurrent=2)), script=waits) as it:
        two = [asyncio.create_task(it.ask()) for _ in range(2)]
        for _ in two:
            await reached.acquire()
        refused = await it.ask()
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "too_many_concurrent_requests"
        two[0].cancel()  # a client that leaves gives its place back
        await it.proxy.ledger.one(2)
        third = asyncio.create_task(it.ask())
        await reached.acquire()
        gate.set()
        assert [(await two[1]).status_code, (await third).status_code] == [200, 200]


async def test_what_was_refused_elsewhere_uses_no_allowance(tmp_path):
    small = key(limit=limits(requests=1), models=("gpt-4o-mini",))
    async with keyed(tmp_path, small, max_body_bytes=200) as it:
        for _ in range(3):
            assert (await it.ask(body={**BODY, "model": "o3"})).status_code == 403
            assert (await it.ask(body={**BODY, "x": "y" * 300})).status_code == 413
        assert (await it.ask()).status_code == 200
        assert (await it.ask()).status_code == 429


async def test_when_a_key_was_used_is_remembered(tmp_path):
    async with keyed(tmp_path, key(number=7)) as it:
        await it.ask()
        await it.ask("sk-live")
        assert list(it.proxy.services.last_used.seen) == [7]
