"""What Prometheus finds under /metrics, and who may read it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from django.db import DatabaseError
from django.test import Client
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from dashboard import metrics, tokens
from dashboard.models import ApiToken
from tests.usage.samples import usage_row
from tokenwatch.conf import config
from upstreams.models import Upstream
from upstreams.store import Change, record
from usage import stats
from usage.writer import insert

pytestmark = pytest.mark.django_db


def scraped(**headers):
    response = Client().get("/metrics", **headers)
    assert response.status_code == 200
    families = text_string_to_metric_families(response.content.decode())
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.fixture
def token(monkeypatch):
    monkeypatch.setattr(metrics, "config", replace(config, metrics_token="s3cret"))


def test_the_counters_are_the_ledgers():
    insert(
        [
            usage_row(model_used="a", source_app="shop", feature_tag="search", cost="0.5000000000"),
            usage_row(model_used="a", source_app="crm", cost="0.2500000000", latency_ms=1650),
            usage_row(model_used="b", cost=None, status_code=500, cache_read_tokens=7),
            usage_row(model_used="b", cost="0.0000000000", cache_tier="exact"),
            usage_row(model_used="b", status_code=429, error_type="budget_exceeded", attempts=0),
            usage_row(model_used="b", status_code=400, error_type="budget_of_theirs"),
        ],
        check=False,
    )
    found = scraped()
    assert found["tokenwatch_requests_total", "a"] == 2
    assert found["tokenwatch_cost_total", "a"] == 0.75
    assert found["tokenwatch_errors_total", "b"] == 3
    assert found["tokenwatch_budget_refusals_total", "b"] == 1
    assert found["tokenwatch_requests_unpriced_total", "b"] == 1
    assert found["tokenwatch_cache_hits_total", "b"] == 1
    assert found["tokenwatch_tokens_total", "a", "input"] == 200
    assert found["tokenwatch_tokens_total", "b", "cache_read"] == 7
    assert found["tokenwatch_request_duration_seconds_sum", "a"] == 2.0
    assert found["tokenwatch_request_duration_seconds_count", "a"] == 2
    assert found["tokenwatch_app_cost_total", "shop"] == 0.5
    assert found["tokenwatch_app_requests_total", "crm"] == 5
    assert found["tokenwatch_tag_cost_total", "search"] == 0.5
    assert found["tokenwatch_tag_requests_total", ""] == 5
    assert found["tokenwatch_spool_depth",] == 0


def test_how_long_requests_took():
    rows = [usage_row(latency_ms=ms, overhead_ms=0.5) for ms in (1, 3, 350, 10**7)]
    insert(rows, check=False)
    response = Client().get("/metrics").content.decode()
    (family,) = (
        family
        for family in text_string_to_metric_families(response)
        if family.name == "tokenwatch_latency_seconds"
    )
    buckets = {
        float(sample.labels["le"]): sample.value for sample in family.samples if sample.labels
    }
    assert len(buckets) == 36
    for bound, reached in buckets.items():
        assert reached == sum(row.latency_ms / 1000 < bound for row in rows)
    assert scraped()["tokenwatch_latency_seconds_sum",] == 10_000.354
    assert scraped()["tokenwatch_latency_seconds_count",] == 4
    assert scraped()["tokenwatch_overhead_seconds_bucket", "+Inf"] == 4


def test_the_state_of_breakers():
    for name in ("one", "two"):
        Upstream.objects.create(name=name, api_type="openai", base_url="https://x.example")
    record([Change("openai", "two", "open", 1_795_435_200.0, 5, "http_503", None)], "w")
    found = scraped()
    states = {key[1:]: value for key, value in found.items() if key[0].endswith("_breaker")}
    assert {frozenset(key) for key, value in states.items() if value} == {
        frozenset(("openai", "one", "closed")),
        frozenset(("openai", "two", "open")),
    }
    assert len(states) == 8


def test_a_name_from_a_client_cannot_break_the_format():
    insert([usage_row(model_used='x"} 1\\', source_app="a\nb")], check=False)
    assert scraped()["tokenwatch_requests_total", 'x"} 1\\'] == 1


def test_without_a_database_the_counters_are_missing(monkeypatch):
    def fails(*_):
        raise DatabaseError("gone")

    monkeypatch.setattr(stats, "by", fails)
    found = scraped()
    assert found["tokenwatch_database_up",] == 0
    assert not [key for key in found if key[0].endswith("_total")]


def test_openmetrics_for_those_who_ask_for_it():
    insert([usage_row()], check=False)
    accept = "application/openmetrics-text; version=1.0.0"
    response = Client().get("/metrics", headers={"accept": accept})
    assert response["content-type"].startswith("application/openmetrics-text")
    families = openmetrics.text_string_to_metric_families(response.content.decode())
    assert "tokenwatch_requests" in {family.name for family in families}


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "127.8.8.8"])
def test_without_a_token_this_machine_may_read(address):
    assert Client(REMOTE_ADDR=address).get("/metrics").status_code == 200


@pytest.mark.parametrize(
    "options",
    [
        {"REMOTE_ADDR": "10.0.0.7"},
        {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "203.0.113.9"},
        {"REMOTE_ADDR": "127.0.0.1", "HTTP_FORWARDED": "for=203.0.113.9"},
        {"REMOTE_ADDR": ""},
    ],
)
def test_without_a_token_nobody_else_may(options):
    response = Client(**options).get("/metrics")
    assert response.status_code == 401
    assert b"TOKENWATCH_METRICS_TOKEN" in response.content


def test_with_a_token_it_is_asked_for_everywhere(token):
    assert Client().get("/metrics").status_code == 401
    for wrong in ("Bearer wrong", "Basic s3cret", "Bearer", "s3cret", "Bearer s3cret\u00e9"):
        response = Client().get("/metrics", headers={"authorization": wrong})
        assert response.status_code == 401
        assert response["www-authenticate"].startswith("Bearer")
    right = {"authorization": "Bearer s3cret"}
    assert Client(REMOTE_ADDR="10.0.0.7").get("/metrics", headers=right).status_code == 200


def test_an_api_token_opens_them_until_it_is_revoked():
    key = tokens.new_key()
    token = ApiToken.objects.create(
        name="prometheus", digest=tokens.digest(key), hint=tokens.hint(key)
    )
    client = Client(REMOTE_ADDR="10.0.0.7", headers={"authorization": f"Bearer {key}"})
    assert client.get("/metrics").status_code == 200
    token.revoked_at = datetime.now(UTC)
    token.save()
    assert client.get("/metrics").status_code == 401


def test_only_reading():
    assert Client().post("/metrics").status_code == 405
