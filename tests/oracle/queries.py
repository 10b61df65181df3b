"""Everything that runs SQL on the hot path, in the statistics, the commands and the admin.

A step is run for real against the recorder: it calls the product's own function, so what is
checked is what is executed and bound. A new query is added as one line of `STEPS`; a step
that needs rows to go on sets ``recorder.answer`` first.
"""

import array
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from types import SimpleNamespace
from typing import Any

import numpy as np
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.db.models import Model
from django.test import RequestFactory

from access import store as access_store
from access.models import ProxyKey, RateLimit
from budgets import bookkeeping, figures, pace, settlement, webhooks
from budgets.bookkeeping import Loan, Wishes
from budgets.models import Budget, WebhookDelivery
from budgets.settlement import spec_of
from cache import semantic_sql
from cache import store as cache_store
from cache.embedders import OracleEmbedder
from cache.models import CacheEntry, CacheVector
from dashboard import tokens
from dashboard.models import ApiToken
from experiments import feedback, prompts, replay_plan, replay_results, replay_store, report, store
from experiments.models import ABFeedback, ABTest, Status
from experiments.prompt_models import ReplayResult, ReplayRun, RunState, StoredPrompt
from experiments.replay_store import Sent
from proxy.snapshot import Policies
from routing.models import RoutingRule, TagRule
from routing.store import all_rules, load_rules, reviewed
from tests.cache.entries import entry
from tests.oracle.recorder import Executed, Recorder
from tests.usage.samples import NOON, usage_row
from tokenwatch import jobs, oracle_check, policy
from tokenwatch.conf import config
from upstreams import store as upstream_store
from upstreams.models import Upstream, UpstreamEvent
from upstreams.store import Change, load_upstreams
from usage import (
    costs,
    ledger,
    listing,
    price_review,
    retention,
    rollup_check,
    series,
    stats,
    tailing,
    today,
    writer,
)
from usage.models import ModelPrice, UsageRecord
from usage.pricebook import load_price_book
from usage.rollups import COUNTERS

NOW = datetime.fromtimestamp(NOON + 1234, UTC)  # ragged: hours and minutes are both asked for
ROWS = [
    usage_row(cost=None, ttft_ms=12, stream=True, source_app="", feature_tag="search"),
    usage_row(saved_cost="0.0000010000", cache_tier="exact", cache_similarity=0.01),
    usage_row(created_at=NOON + 7200, status_code=429, error_type="rate_limit_error"),
]


def insert(check: bool) -> Callable[[Recorder], None]:
    return lambda _: _stored(writer.insert(ROWS, check=check))


def insert_into_known_rollups(recorder: Recorder) -> None:
    recorder.answer = _all_known
    _stored(writer.insert(ROWS, check=False))


def insert_a_full_batch(_: Recorder) -> None:
    rows = [usage_row() for _ in range(writer.BATCH)]
    assert writer.insert(rows, check=True) == len(rows)


def _stored(count: int) -> None:
    assert count == len(ROWS)


def _all_known(call: Executed) -> Sequence[tuple[Any, ...]]:
    """Every key of the ledger that is asked for exists."""
    if not call.sql.startswith("SELECT") or "TW_BUDGET" in call.sql:
        return ()
    return [(value,) for row in call.rows for value in row.values()]


def statistics(timeframe: str) -> Callable[[Recorder], None]:
    """The sums of a period, in all and by each dimension, with rollups by minute at hand."""

    def step(recorder: Recorder) -> None:
        recorder.answer = _old_minutes
        start, end = stats.window(timeframe, NOW)
        stats.summary(start, end)
        for by in (stats.by_model, stats.by_app, stats.by_tag):
            by(start, end)

    return step


def _old_minutes(call: Executed) -> Sequence[tuple[Any, ...]]:
    return [(NOW.replace(tzinfo=None) - timedelta(days=60),)] if "MIN(" in call.sql else ()


def follow(recorder: Recorder) -> None:
    follower = tailing.Follower()
    recorder.answer = lambda call: [(7,)] if call.sql.count(",") == 0 else ()
    follower.look()


def first_policy(recorder: Recorder) -> None:
    recorder.meets_rows = False
    policy.bump()


def save(made: Model) -> Callable[[Recorder], None]:
    """Insert, update and delete a policy, with the change of the policy version."""

    def step(_: Recorder) -> None:
        made.pk = None
        made._state.adding = True
        made.save()
        made.save()
        made.delete()

    return step


def command(*args: str) -> Callable[[Recorder], str]:
    return lambda _: call_command(*args, stdout=StringIO())


def admin_list(model: type[Model], /, **query: str) -> Callable[[Recorder], None]:
    """A page of an admin list with its filters, search and counts."""

    def step(_: Recorder) -> None:
        request = RequestFactory().get("/", query)
        request.user = User(username="admin", is_superuser=True, is_staff=True)
        page = admin.site.get_model_admin(model).get_changelist_instance(request)
        list(page.result_list)

    return step


BUDGET = Budget(
    id=5,
    name="b",
    scope="app",
    pattern="check*",
    unit="usd",
    limit=Decimal(10),
    period="monthly",
    time_zone="Europe/Berlin",
    action="block",
    threshold=80,
    created_at=NOW,
)
SPEC = spec_of(BUDGET)
PERIOD = SPEC.at(NOON)


def one_counter(call: Executed) -> Sequence[tuple[Any, ...]]:
    """One budget, whose counter and lease exist; nothing of the ledger does."""
    start = datetime.fromtimestamp(PERIOD.start, UTC).replace(tzinfo=None)
    columns = call.sql.partition(" FROM ")[0].removeprefix("SELECT ")
    known = {
        "BUDGET_ID": SPEC.id,
        "PERIOD_START": start,
        "ID": 9,
        "SPENT": 100,
        "PRUNED": 40,
        "LEASED": 20,
        "COUNTER_ID": 9,
        "AMOUNT": 20,
    }
    names = [column.rpartition(".")[2].split()[0].strip('"') for column in columns.split(", ")]
    if not call.sql.startswith("SELECT") or not set(names) <= set(known):
        return ()
    return [tuple(known[name] for name in names)]


def lend(recorder: Recorder) -> None:
    loan = Loan(SPEC, PERIOD, None, None)
    settlement.counter_of(SPEC, PERIOD)  # builds it
    recorder.answer = one_counter
    counter, taken = bookkeeping.lend(loan, SPEC.limit, 1000, "w")
    assert (counter, taken is not None) == (9, True)


def look_at_budgets(recorder: Recorder) -> None:
    recorder.answer = one_counter
    wishes = Wishes([Loan(SPEC, PERIOD, 9, 3)], [(9, 3, 10)], renew=[3], expire=True)
    found = bookkeeping.look(wishes)
    assert found.figures == {9: (100, 20)}
    bookkeeping.end("w")
    settlement.reconcile(SPEC, PERIOD)


def settle(recorder: Recorder) -> None:
    recorder.answer = _one_budget(BUDGET)
    settlement.settle_rows([usage_row(source_app="checkout", holds=[(9, 5)])])


def note_events(recorder: Recorder) -> None:
    """A budget that is used up, and its webhook not told yet."""
    told = copy(BUDGET)
    told.webhook_url, told.limit = "https://hooks.example", Decimal("0.0000000001")
    recorder.answer = _one_budget(told)
    assert webhooks.note_events(datetime.fromtimestamp(NOON, UTC)) == 1


def store_cache_entries(_: Recorder) -> None:
    cache_store.write([entry("a"), entry("b", body=b"x" * 40_000, cost=None, usage=None)])


def new_vector(entry_id: str) -> semantic_sql.NewVector:
    vector = np.full(384, 0.5, np.float32)
    return semantic_sql.NewVector("p" * 64, "onnx/x", entry_id, NOW, "a prompt", vector)


def find_nearest(recorder: Recorder) -> None:
    recorder.answer = lambda call: [("e1", "a prompt", 1e-05)]
    found = semantic_sql.nearest("p" * 64, "onnx/x", np.ones(384, np.float32), NOW, 5)
    assert [(one.entry_id, one.distance, one.prompt) for one in found] == [
        ("e1", 1e-05, "a prompt")
    ]


def embed_in_the_database(recorder: Recorder) -> None:
    recorder.answer = lambda call: [(array.array("f", [0.5] * 384),)]
    embedder = OracleEmbedder("ML.MINILM_V2", semantic_sql.embed)
    assert embedder.embed(["a text"]).shape == (1, 384)


def create_vector_indexes(_: Recorder) -> None:
    with connection.cursor() as cursor:
        for statement in semantic_sql.INDEXES.values():
            cursor.execute(statement)


def store_by_the_model(_: Recorder) -> None:
    row = CacheVector(
        partition_key="p",
        embedder="e",
        entry_id="1",
        expires_at=NOW,
        prompt="x",
        embedding=[0.25] * 384,
    )
    row.save()
    CacheVector.objects.filter(pk=1).update(embedding=[0.75] * 384)


def _one_budget(budget: Budget) -> Callable[[Executed], Sequence[tuple[Any, ...]]]:
    columns = [field.attname for field in Budget._meta.concrete_fields]
    stored = tuple(
        SPEC.id if name == "id" else _as_oracle(getattr(budget, name)) for name in columns
    )

    def answer(call: Executed) -> Sequence[tuple[Any, ...]]:
        if call.sql.startswith("SELECT") and '"TIME_ZONE"' in call.sql:
            return [stored]
        return one_counter(call)

    return answer


def _as_oracle(value: Any) -> Any:
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value


AB_TEST = ABTest(id=4, name="t", model_a="a", model_b="b", app="crm", created_at=NOW)


def report_of_a_test(recorder: Recorder) -> None:
    """Rows as Oracle gives them, with NULL for the empty text."""

    def answer(call: Executed) -> Sequence[tuple[Any, ...]]:
        if "GROUP BY" in call.sql:
            return [("A", NOW.replace(tzinfo=None), NOW.replace(tzinfo=None), 1, 0, 0, 0)]
        return [
            (1, "s", 350, None, 20, Decimal("0.0000270000"), 200, None, Decimal(4), "good"),
            (2, None, 900, 30, 0, None, 503, "overloaded", None, None),
        ]

    recorder.answer = answer
    found = report.report(AB_TEST)
    assert found.comparison.requests_a == 2
    assert found.comparison.split.sessions_a == 2
    assert found.left_out["A"].cache_hits == 1
    assert found.labels["A"] == [("good", 1)]


def first_rating(recorder: Recorder) -> None:
    recorder.meets_rows = False
    made_now = f"{int(NOW.timestamp() * 1000):012x}" + "0" * 20
    assert feedback.record(made_now, 4.5, ["helpful"], now=NOW).pending


def rating_of_a_stored_request(recorder: Recorder) -> None:
    recorder.answer = lambda _: [("t", None)]
    kept = feedback.record("0" * 32, -1, now=NOW)
    assert (kept.test, kept.variant, kept.replaced) == ("t", "", True)


LISTED = listing.Wanted(
    None, NOW, model="m", source_app="", feature_tag="t", status="4xx", cache="hit", cost="unknown"
)


def review_a_rule(_: Recorder) -> None:
    """Its conditions are fetched, its upstreams and its models looked for."""
    rule = RoutingRule(id=7, name="r", model="no-such-model", upstreams="eu", priority=1)
    assert len(reviewed([rule])[7]) == 2


def record_health(recorder: Recorder) -> None:
    """The first change of an upstream, and a later one with a history that is full."""
    change = Change("openai", "z", "open", NOON, 5, "connect", NOON + 5)
    recorder.meets_rows = False
    upstream_store.record([change], "w")
    recorder.meets_rows = True
    recorder.answer = lambda call: [(7,)] if call.sql.startswith("SELECT") else ()
    upstream_store.record([change, change], "w")


RUN = ReplayRun(pk=7, key="k", created_at=NOW, source_model="a", target_model="b", url="u")
ITEM = replay_store.Item(11, "ab" * 16, "replay-k-11")


def store_prompts(_: Recorder) -> None:
    """A long and a short text in one batch."""
    bodies = (b'{"a": "' + b"x" * 5000 + b'"}', b"{}")
    kept = [
        prompts.prepared(prompts.Exchange(usage_row(), body, [b"{}"], True, True, {}), redact=True)
        for body in bodies
    ]
    assert prompts.write(kept) == 2


def prune_prompts(recorder: Recorder) -> None:
    recorder.answer = _once(lambda call: call.sql.startswith("SELECT"), [(3,)])
    prompts.prune(NOW, 30)


def _once(
    matches: Callable[[Executed], bool], rows: Sequence[tuple[Any, ...]]
) -> Callable[[Executed], Sequence[tuple[Any, ...]]]:
    given: set[str] = set()

    def answer(call: Executed) -> Sequence[tuple[Any, ...]]:
        if not matches(call) or call.sql in given:
            return ()
        given.add(call.sql)
        return rows

    return answer


def plan_replay(recorder: Recorder) -> None:
    wish = replay_plan.Wish("gpt-4o", "claude-x", since=NOW, until=NOW, app="a", tag="t", limit=9)
    chosen = [("ab" * 16, "openai", 0, 1)]
    recorder.answer = lambda call: chosen if '"MEDIA"' in call.sql else _found(call)
    selection = replay_plan.select(wish, NOW)
    assert selection.request_ids == ["ab" * 16]
    recorder.answer = lambda call: ()
    replay_plan.estimate(wish, selection, load_price_book(), NOW)
    replay_plan.create(wish, selection, NOW)


def _found(call: Executed) -> Sequence[tuple[Any, ...]]:
    """The ledger has such a row."""
    return [(1,)] if '"TW_USAGE"' in call.sql else ()


def work_at_a_replay(recorder: Recorder) -> None:
    assert replay_store.take(7, "w", NOW, 6)
    assert replay_store.alive(7, "w", NOW)
    recorder.answer = _claimable
    assert replay_store.claim(RUN) is not None
    recorder.answer = lambda call: ()
    replay_store.unclaim(11)
    replay_store.record(11, ITEM.request_id, Sent(200, "x" * 5000, "cd" * 16, "0.1"), NOW)
    replay_store.release_unsent(RUN)
    replay_store.leave(7, "w", RunState.FINISHED, "", NOW)
    replay_store.reconcile(RUN)
    replay_results.to_embed(RUN)
    replay_results.to_judge(RUN)
    replay_results.progress(RUN)
    replay_results.outcomes(RUN)


def _claimable(call: Executed) -> Sequence[tuple[Any, ...]]:
    if '"TW_REPLAY_RESULT"' not in call.sql or not call.sql.startswith("SELECT"):
        return ()
    return [(ITEM.request_id if '"REQUEST_ID"' in call.sql.partition(" FROM ")[0] else 11,)]


def settle_a_replay(recorder: Recorder) -> None:
    recorder.answer = lambda call: (
        [(11, ITEM.request_id)] if '"TW_REPLAY_RESULT"' in call.sql else ()
    )
    assert replay_store.settle(RUN, NOW) == 1


def run_a_job(recorder: Recorder) -> None:
    recorder.answer = lambda call: [(0,)] if '"FAILURES"' in call.sql else ()
    runner = jobs.JobRunner([])
    assert runner.start_due() == jobs.LONGEST_LOOK
    turn = jobs.Turn("j", stop=threading.Event(), clock=lambda: NOW)
    assert turn.claim(due_only=True)
    turn._renew_at = NOW
    jobs.run(jobs.Task("j", timedelta(hours=1), lambda turn: str(turn.go_on())), turn)


def remove_rows(recorder: Recorder) -> None:
    """Two rows, of which a budget keeps what they counted."""
    budget = _one_budget(BUDGET)
    values: dict[str, Any] = {"created_at": datetime.fromtimestamp(NOON, UTC).replace(tzinfo=None)}
    values |= {"source_app": "checkout", "cost": Decimal("0.5"), "id": 7, "request_id": "a" * 32}
    row = [
        values.get(name, 0 if "tokens" in name else None) for name in ("id", *retention._COUNTED)
    ]

    def answer(call: Executed) -> Sequence[tuple[Any, ...]]:
        rows = call.sql.startswith("SELECT") and '"REQUEST_ID"' in call.sql
        return [tuple(row)] if rows else budget(call)

    recorder.answer = answer
    with override(retention, ledger_retention_days=30):
        assert retention.remove_rows(NOW, 500) == 1


def check_hour(recorder: Recorder) -> None:
    """One request in the hour, and no sums of it."""
    start = NOW.replace(minute=0, second=0)
    group = (start.replace(tzinfo=None), "m", None, None, None, *([1] * len(COUNTERS)))
    day = ("m", None, None, *([1] * len(COUNTERS)))

    def answer(call: Executed) -> Sequence[tuple[Any, ...]]:
        if "GROUP BY" not in call.sql:
            return ()
        return [day if '"TW_USAGE_ROLLUP"' in call.sql else group]

    recorder.answer = answer
    assert rollup_check.check(start, repair=True).wrong == 2


@contextmanager
def override(module: Any, **values: Any) -> Iterator[None]:
    """Other settings for a module while the block lasts."""
    before = module.config
    module.config = SimpleNamespace(**values)
    try:
        yield
    finally:
        module.config = before


STEPS: dict[str, Callable[[Recorder], Any]] = {
    # the writer
    "insert rows": insert(check=False),
    "insert rows that may be stored": insert(check=True),
    "insert rows into known rollups": insert_into_known_rollups,
    "insert a full batch": insert_a_full_batch,
    "probe the database": lambda _: writer.probe(),
    "reset": lambda _: ledger.reset(),
    # policies
    "policy version": lambda _: policy.current(),
    "bump the policy version": lambda _: policy.bump(),
    "first policy": first_policy,
    "load a snapshot": lambda _: Policies(config).refresh(),
    "load upstreams": lambda _: load_upstreams(),
    "load the upstreams' health": lambda _: upstream_store.load_health(),
    "record the upstreams' health": record_health,
    "how upstreams stand": lambda _: upstream_store.standings(
        [Upstream(name="z", api_type="openai", base_url="https://api.example")], NOW
    ),
    "load prices": lambda _: load_price_book(),
    "save an upstream": save(
        Upstream(name="z", api_type="openai", base_url="https://api.example", created_at=NOW)
    ),
    "save a price": save(
        ModelPrice(pattern="m", input_per_mtok="1", output_per_mtok="2.5", valid_from=NOW)
    ),
    # budgets
    "load budgets": lambda _: settlement.load_specs(),
    "save a budget": save(BUDGET),
    "lend": lend,
    "look at budgets": look_at_budgets,
    "settle": settle,
    "how budgets stand": lambda _: figures.statuses([BUDGET], NOW),
    "a budget's pace": lambda _: [
        pace.daily(replace(SPEC, scope=scope), NOW.date()) for scope in ("app", "model")
    ],
    "note webhooks' events": note_events,
    "deliver a webhook": lambda _: webhooks.deliver_next(NOW, allow_private=False),
    "drop old webhooks": lambda _: webhooks.clean(NOW),
    # the semantic cache
    "add a vector": lambda _: semantic_sql.insert([new_vector("e1")]),
    "add vectors": lambda _: semantic_sql.insert([new_vector(f"e{i}") for i in range(3)]),
    "save a vector by its model": store_by_the_model,
    "find the nearest": find_nearest,
    "embed in the database": embed_in_the_database,
    "read new vectors": lambda _: semantic_sql.newer("p" * 64, "onnx/x", 7, NOW, 100),
    "delete vectors": lambda _: semantic_sql.delete([f"e{i}" for i in range(1200)]),
    "delete expired vectors": lambda _: semantic_sql.delete_expired(NOW),
    "clear vectors": lambda _: semantic_sql.clear(),
    "store cache entries": store_cache_entries,
    "find a cache entry": lambda _: cache_store.by_key("k" * 64, NOON),
    "find a cache entry by request": lambda _: cache_store.by_id("a" * 32, NOON),
    "count hits": lambda _: cache_store.touch({"a" * 32: (2, NOON)}),
    "new cache keys": lambda _: cache_store.keys_after(7),
    "last clearing": lambda _: cache_store.last_clearing(),
    "new clearings": lambda _: cache_store.clearings_after(7),
    "clear the cache": lambda _: cache_store.clear(now=NOW, model="m", app="a"),
    "prune the cache": lambda _: cache_store.prune(NOW, 10**9, iter([True, False]).__next__),
    "cache stats": command("cache", "stats"),
    "cache entries page": admin_list(CacheEntry, q="gpt", kind="chat"),
    "create vector indexes": create_vector_indexes,
    # access
    "load client keys": lambda _: access_store.load_keys(),
    "load rate limits": lambda _: access_store.load_limits(),
    "usable client keys": lambda _: access_store.usable_keys(NOW),
    "when keys were used": lambda _: access_store._write([(7, NOON)]),
    "save a client key": save(ProxyKey(name="k", digest="d", shown="tw-", created_at=NOW)),
    "save a rate limit": save(RateLimit(name="l", requests_per_minute=5, created_at=NOW)),
    "key create": command("key", "create", "ci"),
    "key list": command("key", "list"),
    "limit list": command("limit", "list"),
    "client keys page": admin_list(ProxyKey, q="ci", enabled__exact="1"),
    "rate limits page": admin_list(RateLimit, q="shop"),
    # routing
    "save a tag rule": save(
        TagRule(name="t", kind="tag_app", pattern="a", tag="b", created_at=NOW)
    ),
    # experiments
    "load A/B tests": lambda _: store.load_tests(),
    "save an A/B test": save(copy(AB_TEST)),
    "check an A/B test": lambda _: copy(AB_TEST).clean(),
    "complete an A/B test": lambda _: store.switch(copy(AB_TEST), Status.COMPLETED, NOW),
    "count an A/B test's requests": lambda _: store.counts(["t", "u"]),
    "report of an A/B test": report_of_a_test,
    "first rating": first_rating,
    "rating of a stored request": rating_of_a_stored_request,
    "save a routing rule": save(
        RoutingRule(name="r", model="m", upstreams="eu", fallbacks="f", created_at=NOW)
    ),
    "load routing rules": lambda _: load_rules(),
    "review routing rules": lambda _: reviewed(all_rules()),
    "review a routing rule": review_a_rule,
    # stored prompts and replay
    "store prompts": store_prompts,
    "prune prompts": prune_prompts,
    "plan a replay": plan_replay,
    "work at a replay": work_at_a_replay,
    "settle a replay": settle_a_replay,
    "replay list": command("replay", "--list"),
    # jobs
    "run a job": run_a_job,
    "remove old rows": remove_rows,
    "remove old sums": lambda _: retention.remove_minutes(NOW, 500),
    "oracle_check": lambda _: oracle_check.check("tokenwatch"),
    "prune, dry": command("prune", "--dry-run"),
    "check an hour": check_hour,
    # statistics
    "cost of today": lambda _: today.sums_of_day(int(NOON // today.DAY)),
    **{f"statistics of {timeframe}": statistics(timeframe) for timeframe in stats.TIMEFRAMES},
    "cells of a period": lambda _: stats.cells(NOW - timedelta(days=3), NOW, {"source_app": ""}),
    "figures over time": lambda _: series.lines(
        [NOW - timedelta(hours=3), NOW - timedelta(hours=2)],
        NOW,
        "model",
        ["a", ""],
        {"model": "m"},
    ),
    "latencies": lambda _: [
        series.counts("latency", None, NOW, {"model": "m"}),
        series.latencies([NOW - timedelta(hours=3)], NOW),
        series.first_request(),
        series.busiest_since(None, NOW, 10),
    ],
    "a page of requests": lambda _: listing.page(LISTED, listing.Cursor(NOW, 7), 50),
    "a page of a session's requests": lambda _: listing.page(
        replace(LISTED, session="s", status="error"), None, 50
    ),
    "an API token": lambda _: tokens.find("tw_x", NOW),
    "costs by session": lambda _: costs.by_session(None, NOW, 20),
    "costs by day": lambda _: costs.daily(None, NOW.date()),
    "newest requests": lambda _: tailing.newest(20),
    "follow requests": follow,
    "prices reviewed": lambda _: list(price_review.reviewed(NOW)),
    "unpriced models": lambda _: price_review.unpriced_models(NOW),
    # commands
    "setup_admin": command("setup_admin"),
    "stats": command("stats"),
    "prices list": command("prices"),
    "tail": command("tail", "--once"),
    "upstream add": command(
        "upstream", "add", "x", "--api-type", "openai", "--base-url", "https://api.example"
    ),
    "upstream list": command("upstream", "list"),
    "budget status": command("budget", "status"),
    "ab list": command("ab", "list"),
    "route add": command("route", "add", "r", "--upstream", "eu"),
    "route list": command("route", "list"),
    "cost by tag": command("cost", "by-tag"),
    "forecast": command("cost", "forecast"),
    # admin
    "budgets page": admin_list(Budget, q="checkout", scope="app"),
    "webhooks page": admin_list(WebhookDelivery, state="failed"),
    "tag rules page": admin_list(TagRule, q="a"),
    "routing rules page": admin_list(RoutingRule, q="a", enabled__exact="1"),
    "prompts searched": admin_list(StoredPrompt, q="crm", period="24h"),
    "prompts' texts searched": admin_list(StoredPrompt, q="crm text:word"),
    "replays page": admin_list(ReplayRun, q="gpt", state="finished"),
    "replay results page": admin_list(ReplayResult, q="x", verdict="worse"),
    "requests page": admin_list(UsageRecord),
    "requests searched": admin_list(UsageRecord, q="gpt-4o 50%_\\"),
    "requests filtered": admin_list(
        UsageRecord,
        period="24h",
        model="gpt-4o",
        app="(none)",
        tag="search",
        status="error",
        cost="unknown",
    ),
    "prices page": admin_list(ModelPrice, q="claude"),
    "A/B tests page": admin_list(ABTest, q="t", status="active"),
    "feedback page": admin_list(ABFeedback, q="0"),
    "upstreams page": admin_list(Upstream, q="api", enabled__exact="1"),
    "upstream history page": admin_list(UpstreamEvent, q="z", state__exact="open"),
    "API tokens page": admin_list(ApiToken, q="ci", scope="read"),
    "users page": admin_list(User, q="admin"),
}
