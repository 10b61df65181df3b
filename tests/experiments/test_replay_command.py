"""`replay`: what it takes, what it refuses, what it prints, and its exit status."""

import asyncio
import json
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import call_command

from experiments.prompt_models import ReplayRun, StoredPrompt
from experiments.replay_plan import ReplayError, Wish, select
from tests.experiments.replaying import Provider, site
from tests.experiments.samples import chat, chat_answer, exchange, store, store_chats
from tests.usage.samples import NOON, usage_row
from tokenwatch.commands import Error
from usage import writer

MODELS = ["--source-model", "gpt-4o", "--target-model", "gpt-4o-mini"]
NOW = datetime.fromtimestamp(NOON, UTC)


def run(*args):
    out = StringIO()
    call_command("replay", *args, stdout=out)
    return out.getvalue()


@contextmanager
def running_site(directory, provider):
    """The proxy in a thread: the command has an event loop of its own."""
    ready, over, found = threading.Event(), threading.Event(), []

    async def serve():
        async with site(directory, provider) as here:
            found.append(here.url)
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(30)
        yield found[0]
    finally:
        over.set()
        thread.join()


@pytest.mark.django_db
class TestDryRun:
    def test_count_tokens_and_the_targets_price(self):
        store_chats(["a", "b"])
        said = run(*MODELS, "--dry-run")
        # 200 tokens at $0.15 and 40 at $0.60 a million
        assert said.splitlines() == [
            "2 prompts of gpt-4o would go to gpt-4o-mini.",
            "Tokens: 200 in, about 40 out.",
            "Cost: about $0.000054; it was $0.000054.",
        ]
        shown = json.loads(run(*MODELS, "--dry-run", "--json"))
        assert (shown["cost"], shown["prompts"]) == ("0.0000540000", 2)
        assert ReplayRun.objects.count() == 0

    def test_an_unknown_price_is_not_zero(self):
        store_chats(["a"])
        said = run("--source-model", "gpt-4o", "--target-model", "own-model", "--dry-run")
        assert "Cost: unknown: it has no price" in said

    def test_what_is_left_out(self):
        store_chats(["a"])
        url = "data:image/png;base64," + "iVBORw0KGgo" + "A" * 100
        picture = chat([{"type": "image_url", "image_url": {"url": url}}])
        store(exchange(picture, chat_answer("x")))
        said = run(*MODELS, "--dry-run")
        assert "Left out: 1 images or files, of which only the hash is kept." in said


@pytest.mark.django_db
class TestSelection:
    def chosen(self, **wish):
        wish = {"source_model": "gpt-4o", "target_model": "gpt-4o-mini", **wish}
        ids = select(Wish(**wish), NOW).request_ids
        models = StoredPrompt.objects.in_bulk(ids, field_name="request_id")
        return [models[one].app for one in ids]

    def test_by_app_tag_time_and_number(self):
        store(
            *[
                exchange(
                    chat("x"),
                    chat_answer("y"),
                    source_app=name,
                    feature_tag=tag,
                    created_at=NOON + number,
                )
                for number, (name, tag) in enumerate(zip("abcd", "1212", strict=True))
            ]
        )
        assert self.chosen() == ["d", "c", "b", "a"]
        assert self.chosen(limit=2) == ["d", "c"]
        assert self.chosen(app="b") == ["b"]
        assert self.chosen(tag="1") == ["c", "a"]
        since = datetime.fromtimestamp(NOON + 1, UTC)
        until = datetime.fromtimestamp(NOON + 3, UTC)
        assert self.chosen(since=since, until=until) == ["c", "b"]

    def test_by_the_model_that_was_asked_or_that_answered(self):
        store(exchange(chat("x"), chat_answer("y"), model_requested="best", model_used="gpt-4o"))
        assert len(self.chosen()) == len(self.chosen(source_model="best")) == 1

    def test_failures_embeddings_and_replays_are_not_replayed(self):
        store(
            exchange(chat("x"), {"error": {}}, status_code=429),
            exchange({"input": "x"}, {}, endpoint="v1/embeddings"),
            exchange(chat("x"), chat_answer("y"), source_app="replay"),
        )
        with pytest.raises(ReplayError, match="no stored prompts of gpt-4o match"):
            self.chosen()
        assert self.chosen(app="replay") == ["replay"]

    def test_a_target_of_the_other_dialect_is_refused(self):
        store_chats(["a"])
        with pytest.raises(ReplayError) as raised:
            self.chosen(target_model="claude-sonnet-4-5")
        assert str(raised.value) == (
            "none of the stored prompts can be replayed: 1 written in the openai dialect, which "
            "claude-sonnet-4-5 does not speak"
        )
        store(exchange({"messages": []}, {}, api_type="anthropic"))
        assert len(self.chosen(target_model="claude-sonnet-4-5")) == 1

    def test_unless_it_has_answered_in_that_dialect(self):
        store_chats(["a"])
        row = usage_row(model_requested="claude-sonnet-4-5", source_app="gateway")
        writer.insert([row], check=False)
        assert len(self.chosen(target_model="claude-sonnet-4-5")) == 1

    def test_without_any_the_setting_is_named(self):
        with pytest.raises(ReplayError, match="TOKENWATCH_STORE_PROMPTS"):
            self.chosen()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "give --source-model and --target-model"),
        (["--source-model", "x"], "give --source-model and --target-model"),
        ([*MODELS, "--limit", "-1"], "--limit must be 1 or more"),
        ([*MODELS, "--concurrency", "0"], "--concurrency must be from 1 to 256"),
        ([*MODELS, "--fail-under", "90"], "--fail-under must be from 0 to 1"),
        ([*MODELS, "--from", "yesterday"], "'yesterday' is no time"),
        (["--resume", "77"], "there is no replay run 77"),
        (["--report", "-1"], "there is no replay run -1"),
    ],
)
def test_bad_input(args, message):
    with pytest.raises(Error, match=message):
        run(*args)


@pytest.mark.django_db(transaction=True)
class TestARun:
    def test_from_the_prompts_to_the_report(self, tmp_path):
        store_chats(["one two three", "four"])
        with running_site(tmp_path, Provider()) as url:
            said = run(*MODELS, "--url", url, "--fail-under", "0.5")
            made = ReplayRun.objects.get()
            assert said.startswith(f"Replay run {made.pk}, finished\n")
            assert "2 of 2" in said
            assert "Similarity" in said
            assert "+FOUR AGAIN" in said
            with pytest.raises(Error, match=r"the score is 0\.\d+, under 0\.99"):
                run("--report", str(made.pk), "--fail-under", "0.99")
        shown = json.loads(run("--report", str(made.pk), "--json"))
        assert shown["run"]["state"] == "finished"
        assert shown["sent"] == 2
        assert len(shown["worst"]) == 2
        (listed,) = json.loads(run("--list", "--json"))
        assert listed["id"] == made.pk
        assert "gpt-4o-mini" in run("--list")

    def test_an_interrupted_run_says_how_to_go_on(self, tmp_path):
        store_chats(["a", "b"])
        with pytest.raises(Error, match=r"does not answer .* \(go on with: replay --resume \d+\)"):
            run(*MODELS, "--url", "http://127.0.0.1:9")
        made = ReplayRun.objects.get()
        provider = Provider()
        with running_site(tmp_path, provider) as url:
            said = run("--resume", str(made.pk), "--url", url)
        assert "2 of 2" in said
        assert provider.seen.total() == 2


@pytest.mark.django_db
def test_no_runs():
    assert run("--list") == "No replay runs.\n"
