"""Stored prompts and replays in the admin: to read and to search, nothing to change."""

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from experiments import replay_store
from experiments.prompt_models import ReplayResult, StoredPrompt
from experiments.replay_plan import Wish, create, select
from experiments.replay_store import Sent
from tests.experiments.samples import chat, chat_answer, exchange, prompt_of, store, store_chats

pytestmark = pytest.mark.django_db
PROMPTS = reverse("admin:experiments_storedprompt_changelist")
RUNS = reverse("admin:experiments_replayrun_changelist")
RESULTS = reverse("admin:experiments_replayresult_changelist")
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def page(client, url, **query):
    answer = client.get(url, query)
    assert answer.status_code == 200
    return answer.content.decode()


def change(model, pk):
    return reverse(f"admin:experiments_{model}_change", args=[pk])


def test_a_prompt_is_shown_as_text(admin_client):
    (request_id,) = store(exchange(chat("<script>alert(1)</script>"), chat_answer("<b>hi</b>")))
    kept = prompt_of(request_id)
    shown = page(admin_client, change("storedprompt", kept.pk))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "<script>alert(1)</script>" not in shown
    assert "<b>hi</b>" not in shown
    assert admin_client.post(change("storedprompt", kept.pk), {"app": "x"}).status_code == 403


def test_prompts_are_searched_by_name_and_by_text(admin_client):
    store(
        exchange(chat("the weather in Rome"), chat_answer("sunny"), source_app="weather"),
        exchange(chat("a poem"), chat_answer("roses"), source_app="poet"),
    )
    assert "poet" in page(admin_client, PROMPTS)
    for query, app in (
        ("text:ROSES", "poet"),
        ("text:rome", "weather"),
        ("poet text:poem", "poet"),
    ):
        shown = page(admin_client, PROMPTS, q=query)
        other = {"poet", "weather"} - {app}
        assert app in shown
        assert other.pop() not in shown.replace(query, "")


def test_pages_do_not_ask_more_for_more_prompts(admin_client):
    def queries():
        with CaptureQueriesContext(connection) as caught:
            page(admin_client, PROMPTS)
        return len(caught)

    store_chats(["a"])
    few = queries()
    store_chats([f"b{number}" for number in range(20)])
    assert queries() == few
    assert StoredPrompt.objects.count() == 21


def test_runs_and_results(admin_client):
    store_chats(["a b c", "d"])
    wish = Wish("gpt-4o", "gpt-4o-mini")
    run = create(wish, select(wish, NOW), NOW)
    item = replay_store.claim(run)
    assert item is not None
    sent = Sent(200, '{"choices": [{"message": {"content": "A <i>B</i>"}}]}', cost="0.0000100000")
    replay_store.record(item.id, item.request_id, sent, NOW)
    assert "gpt-4o-mini" in page(admin_client, RUNS)
    shown = page(admin_client, change("replayrun", run.pk))
    assert "1 of 2" in shown
    assert f"run__id__exact={run.pk}" in shown
    listed = page(admin_client, RESULTS, run__id__exact=run.pk)
    assert "0.0000100000" in listed
    one = ReplayResult.objects.get(pk=item.id)
    assert "A &lt;i&gt;B&lt;/i&gt;" in page(admin_client, change("replayresult", one.pk))
    assert admin_client.get(reverse("admin:experiments_replayrun_add")).status_code == 403
