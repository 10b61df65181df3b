"""A finished request is gone at once: what waits for the garbage collector makes every request
slower, for its memory is not there for the next."""

import gc

import pytest

from tests.proxy.test_failover import BODY, good, two

OURS = {
    "RequestResponseCycle",
    "Served",
    "Client",
    "Call",
    "Ending",
    "Exchange",
    "ClientResponse",
    "JsonTap",
    "StreamTap",
    "Decision",
}


@pytest.fixture
def collected():
    """Names of the types of what only the collector could free, since the last call."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)

    def found():
        gc.collect()
        names = {type(one).__name__ for one in gc.garbage}
        gc.garbage.clear()
        return names

    yield found
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_request_leaves_nothing_for_the_collector(tmp_path, collected, stream):
    async with two(tmp_path, good) as made:
        await made.ask(json={**BODY, "stream": stream})
        collected()
        for _ in range(5):
            response = await made.ask(json={**BODY, "stream": stream})
            assert response.status_code == 200
        assert collected() & OURS == set()
