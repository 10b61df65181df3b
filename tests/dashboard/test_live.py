"""The live feed: who may listen, what comes, and that nobody is waited for."""

import json
from datetime import UTC, datetime

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from dashboard import consumers, events, feed
from dashboard.consumers import live_app, same_origin
from dashboard.feed import KEPT, Listener
from tests.usage.samples import NOON, usage_row
from usage.listing import Wanted, page
from usage.models import UsageRecord
from usage.writer import insert

HOST = b"tokenwatch.example:8878"
ORIGIN = b"http://" + HOST
LISTENED = {"id": 1, "model_used": "m", "model_requested": "", "status_code": 200, "cost": None}


@pytest.fixture(autouse=True)
def _own_feed(monkeypatch):
    """Each test has an event loop of its own, and a feed belongs to one."""
    monkeypatch.setattr(consumers, "feed", feed.Feed())


def stored(**values):
    """The events of rows, by way of the ledger."""
    insert([usage_row(**values)], check=False)
    return events.event(UsageRecord.objects.values(*events.COLUMNS).latest("id"))


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ([(b"host", HOST), (b"origin", ORIGIN)], True),
        ([(b"Host", HOST), (b"Origin", b"https://TokenWatch.example:8878")], True),
        ([(b"host", HOST)], False),
        ([(b"host", HOST), (b"origin", b"null")], False),
        ([(b"host", HOST), (b"origin", b"http://evil.example")], False),
        ([(b"host", HOST), (b"origin", b"http://tokenwatch.example:1")], False),
        ([(b"host", HOST), (b"origin", b"http://tokenwatch.example:8878.evil.example")], False),
        ([(b"host", b""), (b"origin", b"")], False),
        ([(b"host", HOST), (b"origin", b"http://[bad")], False),
        ([(b"host", HOST), (b"origin", b"\xff")], False),
    ],
)
def test_only_pages_of_this_host_may_connect(headers, allowed):
    assert same_origin(headers) is allowed


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        {"type": "other"},
        {"type": "want", "filters": []},
        {"type": "want", "filters": {"password": "x"}},
        {"type": "want", "filters": {"app": 1}},
        {"type": "want", "filters": {"app": "x" * 201}},
        {"type": "want", "after": "1"},
        {"type": "want", "after": -1},
        {"type": "want", "after": True},
        {"type": "want", "after": 2**63},
    ],
)
def test_a_message_that_is_none_is_refused(message):
    with pytest.raises(ValueError):
        events.read_want(message)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ({"model": "gpt-4o-mini-2024-07-18"}, {"model": "gpt-4o-mini-2024-07-18"}),
        ({"app": "(none)"}, {"source_app": ""}),
        ({"app": "a"}, {"source_app": "a"}),
        ({"tag": "t"}, {"feature_tag": "t"}),
        ({"session": "s"}, {"session": "s"}),
        ({"status": "ok"}, {"status": "ok"}),
        ({"status": "error"}, {"status": "error"}),
        ({"status": "4xx"}, {"status": "4xx"}),
        ({"status": "5xx"}, {"status": "5xx"}),
        ({"cache": "hit"}, {"cache": "hit"}),
        ({"cache": "miss"}, {"cache": "miss"}),
        ({"cost": "unknown"}, {"cost": "unknown"}),
        ({"cost": "estimated"}, {"cost": "estimated"}),
        ({"app": "a", "status": "ok"}, {"source_app": "a", "status": "ok"}),
    ],
)
def test_the_feed_filters_as_the_table_does(url, wanted):
    found = [
        stored(source_app="a", feature_tag="t", session_id="s"),
        stored(source_app="", status_code=404),
        stored(source_app="a", status_code=502, cost=None),
        stored(source_app="b", error_type="stream_error", usage_estimated=True),
        stored(source_app="c", cache_tier="exact", model_used="", model_requested="x"),
    ]
    live = {one["request_id"] for one in found if events.matches(one, url)}
    end = datetime.fromtimestamp(NOON + 3600, UTC)
    table = page(Wanted(None, end, **wanted), None, 50).rows
    assert live == {row.request_id for row in table}


async def test_a_slow_listener_keeps_the_newest_and_learns_what_it_missed():
    listener = Listener()
    for number in range(1000):
        listener.offer([{**LISTENED, "id": number}], 0)
    ((message),) = await listener.take()
    assert [row["id"] for row in message["rows"]] == list(range(1000 - KEPT, 1000))
    assert message["skipped"] == 1000 - KEPT


async def test_a_listener_is_told_once_that_the_database_is_away():
    listener = Listener()
    listener.tell(database_ok=True)
    listener.tell(database_ok=False)
    listener.tell(database_ok=False)
    assert await listener.take() == [{"type": "database", "ok": False}]
    listener.tell(database_ok=True)
    assert await listener.take() == [{"type": "database", "ok": True}]


def logged_in(**values):
    client = Client()
    client.force_login(User.objects.create_user("someone", **values))
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def connection(cookie="", origin=ORIGIN, path="/ws/live"):
    headers = [(b"host", HOST), (b"origin", origin)]
    if cookie:
        headers.append((b"cookie", f"{settings.SESSION_COOKIE_NAME}={cookie}".encode()))
    return WebsocketCommunicator(live_app, path, headers=headers)


@pytest.mark.django_db(transaction=True)
async def test_strangers_are_refused_before_the_handshake_ends():
    assert (await connection().connect())[0] is False
    assert (await connection("nonsense").connect())[0] is False
    cookie = await sync_to_async(logged_in)(is_staff=False)
    assert (await connection(cookie).connect())[0] is False
    await sync_to_async(User.objects.update)(is_staff=True)
    assert (await connection(cookie, origin=b"http://evil.example").connect())[0] is False
    assert (await connection(cookie, path="/ws/other").connect())[0] is False
    good = connection(cookie)
    assert (await good.connect())[0] is True
    await good.disconnect()


@pytest.mark.django_db(transaction=True)
async def test_new_requests_come_and_a_gap_is_filled(monkeypatch):
    monkeypatch.setattr(feed, "EVERY", 0.01)
    monkeypatch.setattr(consumers, "ASKED_EVERY", 0)
    cookie = await sync_to_async(logged_in)(is_staff=True)
    old = usage_row(source_app="old")
    await sync_to_async(insert)([old], check=False)
    one = connection(cookie)
    await one.connect()
    await one.send_json_to({"type": "want", "filters": {}, "after": 0})
    first = await one.receive_json_from(5)
    assert [row["request_id"] for row in first["rows"]] == [old.request_id]
    new, other = usage_row(source_app="new"), usage_row(source_app="other")
    seen = first["rows"][0]["id"]
    await one.send_json_to({"type": "want", "filters": {"app": "new"}, "after": seen})
    assert (await one.receive_json_from(5))["rows"] == []  # so the wish is known
    await sync_to_async(insert)([other, new], check=False)
    message = await one.receive_json_from(5)
    assert [row["source_app"] for row in message["rows"]] == ["new"]
    assert json.dumps(message)
    await one.disconnect()


@pytest.mark.django_db(transaction=True)
async def test_a_message_that_is_none_closes_the_connection():
    cookie = await sync_to_async(logged_in)(is_staff=True)
    one = connection(cookie)
    await one.connect()
    await one.send_to(text_data="{")
    assert (await one.receive_output(5)) == {"type": "websocket.close", "code": 1007}
    await one.disconnect()
