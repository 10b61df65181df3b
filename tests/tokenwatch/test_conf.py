"""Settings: the documented defaults, and one clear line for a value that is wrong."""

import re
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import environ
import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from tokenwatch.conf import BASE_DIR, PREFIX, Config, load
from tokenwatch.settings import database

DEFAULTS = {
    "HOST": "127.0.0.1",
    "PROXY_PORT": 8877,
    "DASHBOARD_PORT": 8878,
    "DRAIN_TIMEOUT": 30,
    "REQUIRE_KEYS": "auto",
    "MAX_CONNECTIONS": 10_000,
    "HTTPS": False,
    "LEDGER_RETENTION_DAYS": 0,
    "ANTHROPIC_URL": "https://api.anthropic.com",
    "OPENAI_URL": "https://api.z.ai",
    "CONNECT_TIMEOUT": 10,
    "OVERALL_TIMEOUT": 300,
    "MAX_BODY_BYTES": 64 * 1024 * 1024,
    "INJECT_USAGE": True,
    "ORACLE_DSN": "localhost:1521/FREEPDB1",
    "ORACLE_USER": "",
    "ORACLE_PASSWORD": "",
    "DATABASE_URL": "",
    "REDIS_URL": "",
    "DATA_DIR": BASE_DIR / "var",
    "SECRET_KEY": "",
    "MAX_ATTEMPTS": 3,
    "FAILOVER_ON_READ_TIMEOUT": False,
    "FAILOVER_ON_STREAM_ERROR": True,
    "BREAKER_FAILURES": 5,
    "BREAKER_ERROR_RATE": 0.5,
    "BREAKER_PAUSE": 5,
    "BREAKER_MAX_PAUSE": 300,
    "MAX_COOL_DOWN": 3600,
    "PROBE_INTERVAL": 10,
    "CACHE_ENABLED": False,
    "CACHE_MODE": "",
    "CACHE_TTL": 86400,
    "CACHE_SINGLE_FLIGHT": True,
    "CACHE_ANSWERS_MB": 64,
    "CACHE_MAX_MB": 1024,
    "CACHE_SEMANTIC": True,
    "CACHE_SIMILARITY_THRESHOLD": 0.05,
    "CACHE_TIMEOUT_MS": 50,
    "CACHE_GUARDS": "strict",
    "CACHE_MEMORY_MB": 256,
    "EMBEDDER": "onnx",
    "ORACLE_EMBEDDING_MODEL": "",
    "STORE_PROMPTS": False,
    "REDACT_STORED_PROMPTS": True,
    "PROMPT_RETENTION_DAYS": 30,
    "REPLAY_KEY": "",
    "BUDGET_ENABLED": True,
    "BUDGET_FAIL_MODE": "open",
    "UNPRICED_COST": "admit",
    "ALLOW_PRIVATE_WEBHOOKS": False,
    "OTEL_ENABLED": False,
    "OTEL_ENDPOINT": "http://localhost:4317",
    "OTEL_SERVICE_NAME": "tokenwatch",
    "OTEL_TRACES_PER_SECOND": 200,
    "METRICS_TOKEN": "",
}
BAD = {
    "PROXY_PORT": ["http", "70000", "-1", "80.5"],
    "DASHBOARD_PORT": ["x", "65536", "8877"],
    "ANTHROPIC_URL": [
        "api.anthropic.com",
        "ftp://host",
        "https://",
        "https://h?q=1",
        "https://h:x",
    ],
    "OPENAI_URL": ["localhost:8080", "https://h/#top", "https://user:pw@h"],
    "CONNECT_TIMEOUT": ["0", "-1", "nan", "inf", "soon"],
    "OVERALL_TIMEOUT": ["0", "five"],
    "MAX_BODY_BYTES": ["0", "64MB"],
    "DRAIN_TIMEOUT": ["-1", "30s"],
    "REQUIRE_KEYS": ["true", "sometimes"],
    "MAX_CONNECTIONS": ["0", "15", "many"],
    "HTTPS": ["maybe"],
    "LEDGER_RETENTION_DAYS": ["-1", "for ever"],
    "INJECT_USAGE": ["maybe", "2"],
    "DATABASE_URL": ["mysql://u:hunter2@h/db", "postgres", "sqlite://x"],
    "REDIS_URL": ["http://:hunter2@h"],
    "MAX_ATTEMPTS": ["0", "21", "1.5"],
    "FAILOVER_ON_READ_TIMEOUT": ["si"],
    "FAILOVER_ON_STREAM_ERROR": ["tru"],
    "BREAKER_FAILURES": ["0", "1001", "few"],
    "BREAKER_ERROR_RATE": ["0", "1.1", "50%"],
    "BREAKER_PAUSE": ["0", "-1", "5s"],
    "BREAKER_MAX_PAUSE": ["0", "inf"],
    "MAX_COOL_DOWN": ["0", "nan"],
    "PROBE_INTERVAL": ["-1", "off"],
    "CACHE_ENABLED": ["enabled"],
    "CACHE_MODE": ["true"],
    "CACHE_TTL": ["0", "1d"],
    "CACHE_SINGLE_FLIGHT": ["both"],
    "CACHE_ANSWERS_MB": ["0"],
    "CACHE_MAX_MB": ["0"],
    "CACHE_SEMANTIC": ["onnx"],
    "CACHE_SIMILARITY_THRESHOLD": ["-0.1", "2.1", "nan"],
    "CACHE_TIMEOUT_MS": ["0", "50ms"],
    "CACHE_GUARDS": ["off"],
    "CACHE_MEMORY_MB": ["0"],
    "EMBEDDER": ["word2vec"],
    "ORACLE_EMBEDDING_MODEL": ["1st", "m USING 'x'", "a.b.c"],
    "STORE_PROMPTS": ["-"],
    "REDACT_STORED_PROMPTS": ["nope"],
    "PROMPT_RETENTION_DAYS": ["0", "month"],
    "BUDGET_ENABLED": ["y/n"],
    "BUDGET_FAIL_MODE": ["shut"],
    "UNPRICED_COST": ["-1", "free", "nan"],
    "ALLOW_PRIVATE_WEBHOOKS": ["some"],
    "OTEL_ENABLED": ["otel"],
    "OTEL_ENDPOINT": ["localhost:4317"],
    "OTEL_TRACES_PER_SECOND": ["-1", "all"],
}
ANY_TEXT = {
    "HOST",
    "ORACLE_DSN",
    "ORACLE_USER",
    "ORACLE_PASSWORD",
    "DATA_DIR",
    "SECRET_KEY",
    "REPLAY_KEY",
    "METRICS_TOKEN",
}
ANY_TEXT |= {"OTEL_SERVICE_NAME"}
NAMES = [spec.name.upper() for spec in fields(Config)]


def with_value(name: str, value: str) -> Config:
    return load({PREFIX + name: value})


def test_every_default_is_as_documented() -> None:
    config = load({})
    assert {name: getattr(config, name.lower()) for name in NAMES} == DEFAULTS


@pytest.mark.parametrize(("name", "value"), [(name, v) for name in BAD for v in BAD[name]])
def test_a_bad_value_stops_the_start_with_the_variables_name(name: str, value: str) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        with_value(name, value)
    assert str(caught.value).startswith(f"{PREFIX}{name}: ")
    assert "\n" not in str(caught.value)


def test_every_setting_that_can_be_wrong_is_tried() -> None:
    assert BAD.keys() | ANY_TEXT == set(NAMES)


@pytest.mark.parametrize(
    ("host", "mode", "needed"),
    [
        ("127.0.0.1", "auto", False),
        ("127.8.8.8", "auto", False),
        ("::1", "auto", False),
        ("localhost", "auto", False),
        ("0.0.0.0", "auto", True),
        ("::", "auto", True),
        ("", "auto", False),  # not set: the default
        ("10.0.0.1", "auto", True),
        ("localhost.example.com", "auto", True),
        ("127.0.0.1", "always", True),
        ("0.0.0.0", "never", False),
    ],
)
def test_keys_are_needed_where_other_machines_come_in(host: str, mode: str, needed: bool) -> None:
    config = load({f"{PREFIX}HOST": host, f"{PREFIX}REQUIRE_KEYS": mode})
    assert config.keys_required is needed


def test_a_user_without_a_password_is_refused_by_name() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^TOKENWATCH_ORACLE_PASSWORD: "):
        with_value("ORACLE_USER", "tokenwatch")


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL"])
def test_an_error_does_not_repeat_a_secret(name: str) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        with_value(name, "http://user:hunter2@host")
    assert "hunter2" not in str(caught.value)


def test_the_printed_configuration_shows_no_secret() -> None:
    config = load(
        {
            "TOKENWATCH_ORACLE_USER": "tokenwatch",
            "TOKENWATCH_ORACLE_PASSWORD": "hunter2",
            "TOKENWATCH_DATABASE_URL": "postgres://u:hunter2@h/db",
            "TOKENWATCH_REDIS_URL": "redis://:hunter2@h",
            "TOKENWATCH_SECRET_KEY": "hunter2",
            "TOKENWATCH_REPLAY_KEY": "hunter2",
            "TOKENWATCH_METRICS_TOKEN": "hunter2",
        }
    )
    assert "hunter2" not in repr(config)
    assert config.oracle_password == "hunter2"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("blank", ["", "  "])
def test_an_empty_variable_counts_as_not_set(name: str, blank: str) -> None:
    assert with_value(name, blank) == load({})


@pytest.mark.parametrize("text", ["true", "YES", " on ", "1"])
def test_truth_is_written_in_many_ways(text: str) -> None:
    assert with_value("STORE_PROMPTS", text).store_prompts is True


@pytest.mark.parametrize("text", ["false", "No", "off", "0"])
def test_and_so_is_its_opposite(text: str) -> None:
    assert with_value("BUDGET_ENABLED", text).budget_enabled is False


def test_a_password_keeps_its_spaces() -> None:
    config = load({"TOKENWATCH_ORACLE_USER": "u", "TOKENWATCH_ORACLE_PASSWORD": " p "})
    assert config.oracle_password == " p "


def test_a_url_loses_its_trailing_slash_and_keeps_its_path() -> None:
    config = with_value("OPENAI_URL", "https://api.z.ai/api/paas/v4/")
    assert config.openai_url == "https://api.z.ai/api/paas/v4"


def test_a_relative_data_directory_begins_at_the_project() -> None:
    assert with_value("DATA_DIR", "data").data_dir == BASE_DIR / "data"
    assert with_value("DATA_DIR", "/srv/tw").data_dir == Path("/srv/tw")


@given(st.sampled_from(NAMES), st.text(max_size=40))
def test_any_text_is_taken_or_refused_by_name(name: str, text: str) -> None:
    message = ""
    try:
        with_value(name, text)
    except ImproperlyConfigured as exc:
        message = str(exc)
    assert not message or message.startswith(PREFIX)


# The engine


def test_without_settings_the_database_is_a_file_for_concurrent_writers(tmp_path: Path) -> None:
    found = database(with_value("DATA_DIR", str(tmp_path)))
    assert found["ENGINE"] == "django.db.backends.sqlite3"
    assert found["NAME"] == str(tmp_path / "tokenwatch.sqlite3")
    assert found["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in found["OPTIONS"]["init_command"]


def test_a_postgres_url_is_the_database() -> None:
    found = database(with_value("DATABASE_URL", "postgres://u:p%40@db:5433/tw"))
    assert found["ENGINE"] == "django.db.backends.postgresql"
    parts = (found["USER"], found["PASSWORD"], found["HOST"], found["PORT"], found["NAME"])
    assert parts == ("u", "p@", "db", 5433, "tw")


def test_a_sqlite_url_gets_the_same_options_as_the_embedded_file() -> None:
    found = database(with_value("DATABASE_URL", "sqlite:////srv/tw.db"))
    assert found["NAME"] == "/srv/tw.db"
    assert found["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


# What is written about them

EXAMPLE = BASE_DIR / ".env.example"
ASSIGNMENT = re.compile(r"^# (TOKENWATCH_\w+)=(.*)$")
TABLE_ROW = re.compile(r"^\| `(TOKENWATCH_\w+)` \| (?:`([^`]*)`)? ?\| (\S.*) \|$", re.MULTILINE)


def written(default: object) -> str:
    """A default as one writes it in a file."""
    if isinstance(default, bool):
        return str(default).lower()
    return str(default.relative_to(BASE_DIR)) if isinstance(default, Path) else str(default)


DOCUMENTED = {PREFIX + name: written(default) for name, default in DEFAULTS.items()}


def test_the_example_file_has_each_setting_once_with_its_default() -> None:
    matches = map(ASSIGNMENT.match, EXAMPLE.read_text().splitlines())
    found = [(match[1], match[2]) for match in matches if match]
    assert len(found) == len(dict(found))
    assert dict(found) == DOCUMENTED


def test_each_setting_of_the_example_file_is_explained_above_it() -> None:
    lines = EXAMPLE.read_text().splitlines()
    for before, line in pairwise(lines):
        if ASSIGNMENT.match(line):
            assert re.match(r"# \S", before), line
            assert not ASSIGNMENT.match(before), line


def test_the_example_file_uncommented_is_the_default_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / ".env"
    copy.write_text(re.sub(r"(?m)^# (TOKENWATCH_)", r"\1", EXAMPLE.read_text()))
    read: dict[str, str] = {}
    monkeypatch.setattr(environ.Env, "ENVIRON", read)
    environ.Env.read_env(copy)
    assert set(read) == set(DOCUMENTED)
    assert load(read) == load({})


def test_the_documentation_has_a_row_for_each_setting() -> None:
    text = (BASE_DIR / "docs" / "configuration.md").read_text()
    found = [(name, default) for name, default, _ in TABLE_ROW.findall(text)]
    assert len(found) == len(dict(found))
    assert dict(found) == DOCUMENTED


def test_what_no_code_reads_yet_is_said_to_be_for_later() -> None:
    sources = [
        p
        for app in (
            "tokenwatch",
            "upstreams",
            "usage",
            "budgets",
            "cache",
            "experiments",
            "proxy",
            "dashboard",
        )
        for p in (BASE_DIR / app).rglob("*.py")
    ]
    code = "\n".join(p.read_text() for p in sources if p.name != "conf.py")
    unread = {PREFIX + name for name in NAMES if not re.search(rf"\.{name.lower()}\b", code)}
    title = "Checked at start, used from a later version"
    for path in (EXAMPLE, BASE_DIR / "docs" / "configuration.md"):
        section = path.read_text().split(title)[1]
        assert set(re.findall(r"TOKENWATCH_\w+", section)) == unread, path.name
