"""Webhooks, sent to a receiver that listens on this machine."""

import contextlib
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.db import connection

from budgets import postman, webhooks
from budgets.models import Budget, BudgetCounter, WebhookDelivery
from budgets.postman import Undeliverable, post
from budgets.webhook_rules import RETRY_AFTER, SIGNATURE, signature
from tests.usage.samples import NOON, usage_row
from usage import writer

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime.fromtimestamp(NOON, UTC)


class Receiver:
    """Takes POSTs and answers with `status`."""

    def __init__(self):
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append((self.path, dict(self.headers), body))
                self.send_response(receiver.status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}/hook?team=a"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def events(self):
        return [json.loads(body)["event"] for _, _, body in self.got]


@pytest.fixture
def receiver():
    it = Receiver()
    yield it
    it.close()


def budget(url, **values):
    values = {"name": "all", "limit": Decimal(1), "period": "daily", **values}
    return Budget.objects.create(webhook_url=url, **values)


def spend(cost, at=NOON):
    writer.insert([usage_row(cost=cost, created_at=at)], check=False)


def round_at(now=NOW):
    """What the sender does in one round; how many messages were sent."""
    webhooks.note_events(now)
    sent = 0
    while webhooks.deliver_next(now, allow_private=True):
        sent += 1
    return sent


def test_each_event_is_told_once_a_period(receiver):
    budget(receiver.url)
    spend("0.5")
    assert round_at() == 0
    spend("0.4")
    assert round_at() == 1
    assert round_at() == 0
    spend("0.4")
    spend("0.4")
    assert round_at() == 1
    assert receiver.events() == ["approaching", "exceeded"]
    spend("2", at=NOON + 86_400)
    assert round_at(NOW + timedelta(days=1)) == 1
    assert receiver.events() == ["approaching", "exceeded", "exceeded"]


def test_what_is_sent(receiver):
    budget(receiver.url, webhook_secret="s3cret", scope="app", pattern="c*")
    spend("1.5")
    round_at()
    ((path, headers, body),) = receiver.got
    assert path == "/hook?team=a"
    assert headers["Content-Type"] == "application/json"
    assert headers["Host"] == f"127.0.0.1:{receiver.port}"
    assert headers[SIGNATURE] == signature("s3cret", body, int(NOON))
    sent = json.loads(body)
    assert (sent["scope"], sent["value"], sent["spent"]) == ("app", "c*", "1.5000000000")
    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.attempts, delivery.response_status) == ("delivered", 1, 200)
    assert delivery.delivered_at is not None


def test_without_a_secret_nothing_is_signed(receiver):
    budget(receiver.url)
    spend("1")
    round_at()
    assert SIGNATURE not in receiver.got[0][1]


def test_a_period_that_has_just_ended_is_told_of_too(receiver):
    budget(receiver.url, period="hourly")
    spend("1", at=NOON - 1)
    assert round_at(NOW + timedelta(seconds=30)) == 1


def test_inactive_budgets_tell_nothing(receiver):
    budget(receiver.url, active=False)
    spend("1")
    assert round_at() == 0


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_failure_is_tried_again_later_and_given_up_in_the_end(receiver, status):
    receiver.status = status
    budget(receiver.url)
    spend("1")
    now = NOW
    assert round_at(now) == 1
    for number, delay in enumerate(RETRY_AFTER, 2):
        assert round_at(now + timedelta(seconds=delay - 1)) == 0
        now += timedelta(seconds=delay)
        assert round_at(now) == 1
        assert WebhookDelivery.objects.get().attempts == number
    assert round_at(now + timedelta(days=1)) == 0
    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.response_status) == ("failed", status)
    assert delivery.last_error == f"The receiver answered {status}."
    assert {path for path, _, _ in receiver.got} == {"/hook?team=a"}


def test_a_receiver_that_recovers_gets_it(receiver):
    receiver.status = 503
    budget(receiver.url)
    spend("1")
    round_at()
    receiver.status = 200
    assert round_at(NOW + timedelta(seconds=RETRY_AFTER[0])) == 1
    assert (WebhookDelivery.objects.get().state, len(receiver.got)) == ("delivered", 2)


def test_a_receiver_that_is_gone_is_left_alone(receiver):
    receiver.status = 410
    budget(receiver.url)
    spend("1")
    round_at()
    assert WebhookDelivery.objects.get().state == "failed"


def test_an_attempt_whose_worker_died_is_made_again_and_the_last_one_ends(receiver):
    budget(receiver.url)
    spend("1")
    webhooks.note_events(NOW)
    WebhookDelivery.objects.update(attempts=len(RETRY_AFTER) + 1)
    assert round_at() == 0
    assert WebhookDelivery.objects.get().state == "failed"


def test_workers_do_not_send_the_same_attempt(receiver):
    budget(receiver.url)
    spend("1")
    webhooks.note_events(NOW)
    start = threading.Barrier(4)

    def work():
        try:
            start.wait()
            webhooks.deliver_next(NOW, allow_private=True)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(receiver.got) == 1


def test_private_addresses_are_refused_and_said_so(receiver):
    budget(receiver.url)
    spend("1")
    webhooks.note_events(NOW)
    assert webhooks.deliver_next(NOW, allow_private=False)
    delivery = WebhookDelivery.objects.get()
    assert delivery.state == "pending"
    assert "not a public address (TOKENWATCH_ALLOW_PRIVATE_WEBHOOKS)" in delivery.last_error
    assert receiver.got == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "0x7f000001", "2130706433", "127.1", "[::ffff:127.0.0.1]", "localhost"]
)
def test_no_disguise_of_a_private_address_helps(receiver, host):
    with pytest.raises(Undeliverable, match="not a public address"):
        post(f"http://{host}:{receiver.port}/", b"{}", {}, allow_private=False)
    assert receiver.got == []


def test_a_name_is_resolved_once(receiver, monkeypatch):
    import socket

    asked = []
    real = socket.getaddrinfo

    def resolve(host, *args, **kwargs):
        asked.append(host)
        return real("127.0.0.1" if host == "rebinding.example" else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    url = f"http://rebinding.example:{receiver.port}/"
    assert post(url, b"{}", {}, allow_private=True) == 200
    assert [host for host in asked if host != "127.0.0.1"] == ["rebinding.example"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://127.0.0.1/", "http"),
        ("http:///x", "http"),
        ("http://[::1/", "read"),
        ("http://127.0.0.1:1/", "refused"),
        ("http://no-such-host.invalid/", "resolved"),
    ],
)
def test_what_cannot_be_reached_says_why(url, said):
    with pytest.raises(Undeliverable, match=said):
        post(url, b"{}", {}, allow_private=True)


def test_a_receiver_that_never_answers_is_left(monkeypatch):
    import socket

    monkeypatch.setattr(postman, "SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(Undeliverable, match=r"No answer within|timed out"):
            post(url, b"{}", {}, allow_private=True)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_receiver_that_drips_is_left_too(monkeypatch, scheme):
    """Bytes that come one by one keep a socket's own time limit from ever passing."""
    import socket

    monkeypatch.setattr(postman, "SECONDS", 0.5)
    over = threading.Event()

    def drip(listening):
        taken, _ = listening.accept()
        with taken, contextlib.suppress(OSError):
            # The head of a TLS record that never ends, or of an answer.
            taken.sendall(b"\x16\x03\x03\x40\x00" if scheme == "https" else b"HTTP/1.1 200 ")
            while not over.wait(0.05):
                taken.sendall(b"\x02" if scheme == "https" else b"x")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=drip, args=(listening,))
        thread.start()
        started = time.monotonic()
        with pytest.raises(Undeliverable):
            post(
                f"{scheme}://127.0.0.1:{listening.getsockname()[1]}/", b"{}", {}, allow_private=True
            )
        assert time.monotonic() - started < 5
        over.set()
        thread.join()


def test_a_certificate_must_be_the_hosts(receiver):
    with pytest.raises(Undeliverable, match=r"SSL|ssl|WRONG"):
        post(f"https://127.0.0.1:{receiver.port}/", b"{}", {}, allow_private=True)


def test_what_is_done_is_dropped_after_a_while(receiver):
    budget(receiver.url)
    spend("1")
    round_at()
    later = datetime.now(UTC) + webhooks.KEPT
    assert webhooks.clean(later - timedelta(minutes=1)) == 0
    assert webhooks.clean(later + timedelta(minutes=1)) == 1


def test_the_thread_sends_and_stops(receiver, monkeypatch):
    monkeypatch.setattr(webhooks, "SECONDS", 0.01)
    made = budget(receiver.url)
    spend("1", at=datetime.now(UTC).timestamp())
    told = threading.Event()
    real = postman.post

    def tell(*args, **kwargs):
        try:
            return real(*args, **kwargs)
        finally:
            told.set()

    monkeypatch.setattr(postman, "post", tell)
    sender = webhooks.WebhookSender(allow_private=True)
    sender.start()
    assert told.wait(10)
    sender.stop()
    assert receiver.events() == ["exceeded"]
    assert BudgetCounter.objects.get(budget=made).spent > 0
