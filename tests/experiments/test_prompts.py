"""Stored prompts: kept without their secrets, off the hot path, and no longer than allowed."""

import json
import logging
import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import DataError, OperationalError, connection

from experiments import prompt_spool
from experiments.prompt_models import PromptText, ReplayAnswer, StoredPrompt
from experiments.prompt_spool import PromptSpool
from experiments.prompts import Exchange, prepared, prune, write
from experiments.replay_plan import Wish, create, select
from tests.experiments.samples import (
    chat,
    chat_answer,
    exchange,
    prompt_of,
    store,
    store_chats,
)
from tests.experiments.secrets import PLACES, corpus, sensitive
from tests.proxy.streams import ANTHROPIC, OPENAI, chunk, sse
from tests.usage.samples import NOON, usage_row

PATIENCE = 30
NOW = datetime.fromtimestamp(NOON, UTC)


@pytest.fixture
def make_spool():
    made = []

    def make(**values):
        spool = PromptSpool(**values)
        made.append(spool)
        return spool

    yield make
    for spool in made:
        spool.stop(PATIENCE)


def put(spool, body=b"{}", answer=b"{}", **row):
    made = usage_row(**row)
    assert spool.put(made, body, [answer])
    return made.request_id


@pytest.mark.django_db
class TestWhatIsKept:
    def test_a_chat_with_the_facts_of_its_row(self):
        row = {"source_app": "crm", "feature_tag": "t", "session_id": "s", "status_code": 200}
        (request_id,) = store(exchange(chat("hello"), chat_answer("hi"), **row))
        kept = prompt_of(request_id)
        assert (kept.model, kept.model_used) == ("gpt-4o", "gpt-4o-mini-2024-07-18")
        assert (kept.app, kept.tag, kept.session_id, kept.kind) == ("crm", "t", "s", "chat")
        assert (kept.redacted, kept.redactions, kept.media) == (True, "", 0)
        assert json.loads(kept.text.request_body) == chat("hello")
        assert json.loads(kept.text.response_body) == chat_answer("hi")

    def test_a_body_without_secrets_is_kept_byte_for_byte(self):
        body = b'{ "model":"m",\n "messages" : [] , "x": 1.50 }'
        (request_id,) = store(exchange(body, b"{}"))
        assert prompt_of(request_id).text.request_body == body.decode()

    def test_no_secret_reaches_the_database(self):
        secrets = corpus(100, seed=7)
        places = list(PLACES.values())
        store(
            *[
                exchange(
                    places[number % len(places)](secret).encode(),
                    chat_answer(f"I was told {secret}."),
                )
                for number, (_, secret) in enumerate(secrets)
            ]
        )
        with connection.cursor() as cursor:
            cursor.execute("SELECT request_body, response_body FROM tw_prompt_text")
            everything = repr(cursor.fetchall())
        assert not [kind for kind, made in secrets if sensitive(kind, made) in everything]
        assert StoredPrompt.objects.exclude(redactions="").count() == 100

    def test_redaction_can_be_switched_off_and_is_marked(self):
        one = exchange(chat("mail bob@example.com"), chat_answer("ok"))
        (request_id,) = store(one, redact=False)
        kept = prompt_of(request_id)
        assert kept.redacted is False
        assert "bob@example.com" in kept.text.request_body

    @pytest.mark.parametrize("redact", [True, False])
    def test_a_picture_is_kept_as_its_hash(self, redact):
        url = "data:image/png;base64," + "iVBORw0KGgo" + "A" * 500
        body = chat([{"type": "image_url", "image_url": {"url": url}}])
        (request_id,) = store(exchange(body, chat_answer("a cat")), redact=redact)
        kept = prompt_of(request_id)
        assert kept.media == 1
        assert "sha256:" in kept.text.request_body
        assert "AAAA" not in kept.text.request_body

    @pytest.mark.parametrize(
        ("stream", "api_type", "kind"),
        [(OPENAI, "openai", "chat.completion"), (ANTHROPIC, "anthropic", "message")],
    )
    def test_a_stream_is_kept_as_the_answer_that_it_makes_up(self, stream, api_type, kind):
        row = exchange({}, b"", api_type=api_type, stream=True).row
        pieces = [part[i : i + 7] for part in stream for i in range(0, len(part), 7)]
        whole = prepared(Exchange(row, b"{}", pieces, True, True, {}), redact=True)
        assert json.loads(whole.response).get("object", "message") == kind
        assert whole.prompt.response_whole
        cut = prepared(
            Exchange(row, b"{}", pieces[: len(pieces) // 2], True, True, {}), redact=True
        )
        assert not cut.prompt.response_whole

    def test_bodies_that_were_cut_off_are_not_kept(self):
        row = usage_row()
        kept = prepared(Exchange(row, b'{"a": ', [b'{"b": '], False, False, {}), redact=True)
        assert (kept.request, kept.response) == ("", "")
        assert (kept.prompt.request_whole, kept.prompt.response_whole) == (False, False)

    def test_a_stream_that_cannot_be_put_together_is_not_kept(self):
        row = usage_row(stream=True)
        stream = [b'data: {"x": "sk-ant-"}\n\n', b'data: {"x": "api03-abcdefghijklmnopq"}\n\n']
        kept = prepared(Exchange(row, b"{}", stream, True, True, {}), redact=True)
        assert (kept.response, kept.prompt.response_whole) == ("", False)
        error = prepared(Exchange(row, b"{}", [b'{"error": {}}'], True, True, {}), redact=True)
        assert (error.response, error.prompt.response_whole) == ('{"error": {}}', True)

    def test_audio_is_kept_as_its_hash(self):
        kept = prepared(
            Exchange(usage_row(), b"{}", [b"\xff\xfb", b"\x90"], True, True, {}), redact=False
        )
        assert kept.response.startswith("sha256:")
        assert kept.response.endswith("(3 bytes)")

    def test_a_secret_spread_over_the_deltas_of_a_stream_is_found(self):
        secret = "sk-ant-api03-" + "abcDEF123" * 6
        deltas = [chunk({"content": sign}) for sign in f"it is {secret}."]
        events = [*sse(*deltas, chunk({}, "stop"), "[DONE]")]
        kept = prepared(
            Exchange(usage_row(stream=True), b"{}", events, True, True, {}), redact=True
        )
        assert "it is [REDACTED:anthropic_key]." in kept.response

    def test_headers_that_change_the_meaning_are_kept_and_no_other(self):
        headers = {b"anthropic-beta": b"context-1m", b"x-api-key": b"sk-ant-1", b"cookie": b"a=b"}
        (request_id,) = store(exchange({}, {}, headers=headers, api_type="anthropic"))
        kept = json.loads(prompt_of(request_id).api_headers)
        assert kept == {"anthropic-beta": "context-1m"}

    def test_what_no_database_takes(self):
        (request_id,) = store(exchange(b'{"a": "\\u0000 \\ud800"} \x00\xff', b"\xff\x00"))
        assert "\x00" not in prompt_of(request_id).text.response_body

    def test_a_request_is_stored_once(self):
        one = exchange(chat("a"), chat_answer("b"))
        assert write([prepared(one, redact=True), prepared(one, redact=True)]) == 1
        assert write([prepared(one, redact=True)]) == 0
        assert PromptText.objects.count() == 1


@pytest.mark.django_db
def test_the_retention_is_enforced_in_batches():
    old = [exchange(chat("a"), chat_answer("b"), created_at=NOON - 86400 * 31) for _ in range(7)]
    new = [exchange(chat("a"), chat_answer("b"), created_at=NOON - 86400 * 29) for _ in range(3)]
    store(*old, *new)
    wish = Wish("gpt-4o", "gpt-4o-mini")
    run = create(wish, select(wish, NOW), NOW)
    first, second = run.results.all()[:2]
    for result, age in ((first, 31), (second, 29)):
        ReplayAnswer.objects.create(result=result, created_at=NOW - timedelta(days=age), body="x")
    assert prune(NOW, 30, batch=2) == 8
    assert StoredPrompt.objects.count() == PromptText.objects.count() == 3
    assert list(ReplayAnswer.objects.values_list("pk", flat=True)) == [second.pk]
    assert run.results.count() == 10  # the figures stay
    assert prune(NOW, 30) == 0


@pytest.mark.django_db(transaction=True)
class TestTheSpool:
    def test_prompts_are_stored_in_a_thread_of_its_own(self, make_spool):
        spool = make_spool()
        ids = [put(spool, json.dumps(chat(f"no {n}")).encode()) for n in range(130)]
        assert spool.depth() == 130
        spool.start()
        assert spool.flush(PATIENCE)
        assert set(StoredPrompt.objects.values_list("request_id", flat=True)) == set(ids)
        assert (spool.depth(), spool.dropped, spool.refused) == (0, 0, 0)

    def test_what_does_not_fit_is_dropped_counted_and_logged(self, make_spool, caplog):
        spool = make_spool(queued_bytes=1000, queued_entries=3)
        assert spool.put(usage_row(), b"x" * 900, [b"y" * 100])
        assert not spool.put(usage_row(), b"x", [])
        few = make_spool(queued_entries=2)
        assert [few.put(usage_row(), b"", []) for _ in range(3)] == [True, True, False]
        assert (spool.dropped, few.dropped) == (1, 1)
        with caplog.at_level(logging.ERROR, "tokenwatch.prompts"):
            spool.start()
            assert spool.flush(PATIENCE)
        assert "1 prompts are not stored" in caplog.text
        assert spool.put(usage_row(), b"x" * 900, [])  # there is room again

    def test_an_outage_loses_nothing(self, make_spool, monkeypatch, caplog):
        down = threading.Event()
        down.set()
        refused = threading.Semaphore(0)

        def failing(kept):
            if down.is_set():
                refused.release()
                raise OperationalError("server closed the connection unexpectedly")
            return write(kept)

        monkeypatch.setattr(prompt_spool, "write", failing)
        spool = make_spool()
        ids = [put(spool) for _ in range(120)]
        spool.start()
        for _ in range(2):
            assert refused.acquire(timeout=PATIENCE)
        assert not StoredPrompt.objects.exists()
        down.clear()
        assert spool.flush(PATIENCE)
        assert set(StoredPrompt.objects.values_list("request_id", flat=True)) == set(ids)
        assert "stored again" in caplog.text

    def test_a_prompt_that_the_database_refuses_holds_up_no_other(self, make_spool, monkeypatch):
        spool = make_spool()
        ids = [put(spool) for _ in range(10)]
        bad = ids[4]

        def failing(kept):
            if any(one.prompt.request_id == bad for one in kept):
                raise DataError("value too long")
            return write(kept)

        monkeypatch.setattr(prompt_spool, "write", failing)
        spool.start()
        assert spool.flush(PATIENCE)
        assert StoredPrompt.objects.count() == 9
        assert spool.refused == 1

    def test_what_cannot_be_redacted_is_not_stored(self, make_spool, monkeypatch, caplog):
        def broken(one, *, redact):
            raise RuntimeError("a fault in the redactor")

        monkeypatch.setattr(prompt_spool, "prepared", broken)
        spool = make_spool()
        put(spool)
        spool.start()
        assert spool.flush(PATIENCE)
        assert (StoredPrompt.objects.count(), spool.refused) == (0, 1)

    def test_a_stop_stores_what_is_queued(self, make_spool):
        spool = make_spool()
        spool.start()
        for _ in range(200):
            put(spool)
        assert spool.stop(PATIENCE)
        assert StoredPrompt.objects.count() == 200

    def test_the_thread_enforces_the_retention(self, make_spool):
        store_chats(["a", "b"])  # of a past day
        spool = make_spool(retention_days=1)
        put(spool, created_at=datetime.now(UTC).timestamp())
        StoredPrompt.objects.update(created_at=datetime.now(UTC) - timedelta(days=2))
        spool.start()
        assert spool.flush(PATIENCE)
        assert StoredPrompt.objects.count() == 1
