"""What the cache serves makes the same objects in the official SDKs as the provider's answer."""

import subprocess
from collections.abc import Iterator

import pytest

from demo.fake_provider import FakeProvider
from demo.instance import Instance
from demo.serving import serve
from tests.clients import anthropic_calls, openai_calls
from tests.clients.calls import Call, make
from tests.clients.recording import Side

CALLS = [*openai_calls.CHAT_CALLS, *openai_calls.OTHER_CALLS, *anthropic_calls.CALLS]
KEPT = [call for call in CALLS if not call.raises]
IDS = [f"{call.sdk}-{call.name}".replace(" ", "_") for call in KEPT]


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FakeProvider, Side]]:
    provider = FakeProvider(remember=10)
    with serve(provider.app) as upstream:
        instance = Instance(
            tmp_path_factory.mktemp("cached"),
            upstream,
            settings={"CACHE_ENABLED": "true", "CACHE_SEMANTIC": "false"},
            stdout=subprocess.DEVNULL,
        )
        instance.manage("migrate", "--no-input", "--verbosity", "0")
        with instance:
            url = instance.run.proxy_url
            yield provider, Side(f"{url}/openai/v1", f"{url}/anthropic", {})


@pytest.mark.parametrize("call", KEPT, ids=IDS)
def test_a_call_is_the_same_from_the_cache(call: Call, cached: tuple[FakeProvider, Side]) -> None:
    provider, side = cached
    first = make(call, side)
    provider.seen.clear()
    second = make(call, side)
    assert second.outcome == first.outcome
    says = dict(second.answer.headers)["x-tokenwatch-cache"]
    assert (says == "HIT") == (not provider.seen)
    if (call.stream or "tool" in call.name) and not call.name.startswith("completion"):
        assert says == "HIT"  # the completions end at their length limit, and are not kept
