"""`cache stats|clear` and the entries in the admin."""

import json
from dataclasses import replace
from io import StringIO

import pytest
from django.core.management import call_command
from django.urls import reverse

from cache import embedders, store, upkeep
from cache.entries import CacheEntry
from tests.cache.entries import entry
from tokenwatch import jobs
from tokenwatch.commands import Error
from tokenwatch.conf import load
from tokenwatch.management.commands import start

pytestmark = pytest.mark.django_db
ENTRIES = reverse("admin:cache_cacheentry_changelist")


def run(*args):
    out = StringIO()
    call_command("cache", *args, stdout=out)
    return out.getvalue()


def test_stats():
    assert "It holds no entries." in run("stats")
    store.write([entry("a"), entry("b", model="m2")])
    shown = run("stats")
    assert "gpt-4o-mini" in shown
    assert "m2" in shown
    told = json.loads(run("stats", "--json"))
    assert (told["entries"], told["hits"], told["saved_cost"], told["mode"]) == (2, 0, "0", "off")
    assert {one["model"] for one in told["models"]} == {"gpt-4o-mini", "m2"}


@pytest.mark.parametrize(
    ("choice", "left"),
    [
        (["--all"], ""),
        (["--model", "m2"], "ac"),
        (["--app", "x"], "ab"),
        (["--older-than", "10m"], "ab"),
        (["--older-than", "1d"], "abc"),
        (["--model", "m2", "--app", "x"], "abc"),
    ],
)
def test_clear(choice, left):
    entries = {
        "a": entry("a"),
        "b": entry("b", model="m2"),
        "c": entry("c", app="x", age=900, ttl=9000),
    }
    store.write(list(entries.values()))
    told = json.loads(run("clear", *choice, "--json"))
    assert told == {"cleared": 3 - len(left)}
    kept = set(CacheEntry.objects.values_list("request_id", flat=True))
    assert kept == {entries[name].request_id for name in left}


def test_clear_says_what_it_did():
    store.write([entry()])
    assert run("clear", "--all") == "Cleared 1 entry.\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["clear"], "say what to clear: --model, --app, --older-than or --all"),
        (["clear", "--all", "--app", "x"], "--all goes with no other choice"),
        (["clear", "--older-than", "soon"], "'soon' is no age: write 90m, 12h or 7d"),
    ],
)
def test_bad_input_is_one_clear_line(args, said):
    store.write([entry()])
    with pytest.raises(Error, match=said.replace("(", r"\(")):
        run(*args)
    assert CacheEntry.objects.count() == 1


def test_an_entry_is_shown_as_text_and_cannot_be_changed(admin_client):
    store.write([entry(body=b"<script>alert(1)</script>")])
    row = CacheEntry.objects.get()
    url = reverse("admin:cache_cacheentry_change", args=[row.pk])
    shown = admin_client.get(url).content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "<script>alert(1)</script>" not in shown
    assert admin_client.post(url, {"app": "x"}).status_code == 403
    assert "crm" in admin_client.get(ENTRIES).content.decode()


def test_entries_are_cleared_in_the_admin(admin_client):
    store.write([entry("a"), entry("b")])
    row = CacheEntry.objects.get(request_id=entry("a").request_id)
    last = store.last_clearing()
    answer = admin_client.post(ENTRIES, {"action": "clear", "_selected_action": [row.pk]})
    assert answer.status_code == 302
    assert CacheEntry.objects.get().request_id == entry("b").request_id
    ((_, clearing),) = store.clearings_after(last)
    assert clearing.request_id == row.request_id


def test_who_may_only_look_cannot_clear(client, django_user_model):
    from django.contrib.auth.models import Permission

    store.write([entry()])
    user = django_user_model.objects.create_user("reader", password="x", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_cacheentry"))
    client.force_login(user)
    pk = CacheEntry.objects.get().pk
    client.post(ENTRIES, {"action": "clear", "_selected_action": [pk]})
    assert CacheEntry.objects.exists()


def test_the_start_says_what_to_install(monkeypatch):
    monkeypatch.setattr(embedders, "problem", lambda kind: f"{kind}: make semantic")
    on = load({"TOKENWATCH_CACHE_ENABLED": "true"})
    assert start._embedder_problem(on) == "onnx: make semantic"
    assert start._embedder_problem(replace(on, cache_semantic=False)) == ""
    assert start._embedder_problem(load({})) == ""


def test_the_fleet_prunes_the_cache():
    store.write([entry("old", age=100, ttl=50), entry("new")])
    with jobs.claimed(upkeep.JOB) as turn:
        assert upkeep.job(turn) == "1 entries removed"
    assert CacheEntry.objects.get().request_id == entry("new").request_id
    assert upkeep.JOB in {task.name for task in jobs.registered()}
