"""TokenWatch's own settings, read from the environment and ``.env``, checked once at start.

A bad value raises `ImproperlyConfigured` with the variable's name, so that a typing
mistake stops the start and never changes what the proxy does. Django's settings are
derived from the result in ``tokenwatch.settings``; everything else imports `config`.
"""

import ipaddress
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
PREFIX = "TOKENWATCH_"

Parser = Callable[[str], Any]


def boolean(text: str) -> bool:
    """Read true/false, yes/no, on/off, 1/0; anything else is an error."""
    value = text.strip().lower()
    if value in {"true", "yes", "on", "1"}:
        return True
    if value in {"false", "no", "off", "0"}:
        return False
    raise ValueError("expected true or false")


def integer(low: int, high: int | None = None) -> Parser:
    def parse(text: str) -> int:
        try:
            value = int(text.strip().replace("_", ""))
        except ValueError:
            raise ValueError("expected a whole number") from None
        if value < low or (high is not None and value > high):
            raise ValueError(
                f"expected {low} or more" if high is None else f"expected {low} to {high}"
            )
        return value

    return parse


def number(low: float, high: float = math.inf, *, above: bool = False) -> Parser:
    """A finite number in [low, high], or in (low, high] with ``above``."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError("expected a number") from None
        if not math.isfinite(value) or value < low or value > high or (above and value == low):
            raise ValueError(
                f"expected a number {'above' if above else 'from'} {low:g}"
                + (f" to {high:g}" if math.isfinite(high) else "")
            )
        return value

    return parse


def choice(*allowed: str) -> Parser:
    def parse(text: str) -> str:
        value = text.strip().lower()
        if value not in allowed:
            raise ValueError(f"expected one of {', '.join(allowed)}")
        return value

    return parse


def http_url(text: str) -> str:
    """An absolute http(s) URL without query or fragment; a trailing slash is dropped."""
    value = text.strip()
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("expected an http:// or https:// URL")
    if parts.query or parts.fragment:
        raise ValueError("expected a URL without query or fragment")
    if parts.username is not None or parts.password is not None:
        raise ValueError("expected a URL without user and password")
    try:
        parts.port  # noqa: B018 - raises on a port that is no number
    except ValueError:
        raise ValueError("expected a port from 0 to 65535") from None
    return value.rstrip("/")


def money_or_admit(text: str) -> str:
    """``admit`` or an amount of US dollars that an unpriced request is taken to cost."""
    value = text.strip().lower()
    if value != "admit":
        number(0)(value)
    return value


def database_url(text: str) -> str:
    """A PostgreSQL or SQLite URL as django-environ reads it; empty for the embedded file."""
    value = text.strip()
    if value and not value.startswith(("postgres://", "postgresql://", "psql://", "sqlite:///")):
        raise ValueError("expected postgres://… or sqlite:///…")
    return value


def redis_url(text: str) -> str:
    value = text.strip()
    if value and not value.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("expected redis://…, rediss://… or unix://…")
    return value


def oracle_name(text: str) -> str:
    """The name of an object in Oracle, with its schema or without; it goes into SQL unquoted."""
    value = text.strip()
    name = r"[A-Za-z][\w$#]{0,127}"
    if value and not re.fullmatch(rf"{name}(\.{name})?", value, re.ASCII):
        raise ValueError("expected a name of letters, digits, _, $ and #")
    return value


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on an address or at a name."""
    name = host.strip().strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def plain(text: str) -> str:
    return text.strip()


def secret(text: str) -> str:
    """A value kept exactly as it stands (spaces may belong to a password)."""
    return text


def directory(text: str) -> Path:
    if not text.strip():
        raise ValueError("expected a directory")
    return (BASE_DIR / Path(text.strip()).expanduser()).resolve()


def _setting(parser: Parser, default: str, *, hide: bool = False) -> Any:
    return field(metadata={"parser": parser, "default": default, "hide": hide}, repr=not hide)


@dataclass(frozen=True, slots=True)
class Config:
    """Every ``TOKENWATCH_*`` setting: the field's name in capitals after the prefix."""

    # Where it listens
    host: str = _setting(plain, "127.0.0.1")
    proxy_port: int = _setting(integer(0, 65535), "8877")
    dashboard_port: int = _setting(integer(0, 65535), "8878")
    drain_timeout: int = _setting(integer(0, 86_400), "30")

    # Who may use it
    require_keys: str = _setting(choice("auto", "always", "never"), "auto")
    max_connections: int = _setting(integer(16, 1_000_000), "10000")
    https: bool = _setting(boolean, "false")

    # Providers
    anthropic_url: str = _setting(http_url, "https://api.anthropic.com")
    openai_url: str = _setting(http_url, "https://api.z.ai")
    connect_timeout: float = _setting(number(0, above=True), "10")
    overall_timeout: float = _setting(number(0, above=True), "300")
    max_body_bytes: int = _setting(integer(1), str(64 * 1024 * 1024))
    inject_usage: bool = _setting(boolean, "true")

    # Storage
    oracle_dsn: str = _setting(plain, "localhost:1521/FREEPDB1")
    oracle_user: str = _setting(plain, "")
    oracle_password: str = _setting(secret, "", hide=True)
    database_url: str = _setting(database_url, "", hide=True)
    redis_url: str = _setting(redis_url, "", hide=True)
    data_dir: Path = _setting(directory, "var")
    secret_key: str = _setting(secret, "", hide=True)
    ledger_retention_days: int = _setting(integer(0, 36_500), "0")

    # Failover
    max_attempts: int = _setting(integer(1, 20), "3")
    failover_on_read_timeout: bool = _setting(boolean, "false")
    failover_on_stream_error: bool = _setting(boolean, "true")
    breaker_failures: int = _setting(integer(1, 1000), "5")
    breaker_error_rate: float = _setting(number(0, 1, above=True), "0.5")
    breaker_pause: float = _setting(number(0, above=True), "5")
    breaker_max_pause: float = _setting(number(0, above=True), "300")
    max_cool_down: float = _setting(number(0, above=True), "3600")
    probe_interval: float = _setting(number(0), "10")

    # Cache
    cache_enabled: bool = _setting(boolean, "false")
    cache_mode: str = _setting(choice("", "off", "shadow", "on"), "")
    cache_ttl: int = _setting(integer(1), "86400")
    cache_similarity_threshold: float = _setting(number(0, 2), "0.05")
    cache_single_flight: bool = _setting(boolean, "true")
    cache_answers_mb: int = _setting(integer(1), "64")
    cache_max_mb: int = _setting(integer(1), "1024")
    cache_semantic: bool = _setting(boolean, "true")
    cache_timeout_ms: int = _setting(integer(1), "50")
    cache_guards: str = _setting(choice("strict", "lenient"), "strict")
    cache_memory_mb: int = _setting(integer(1), "256")
    embedder: str = _setting(choice("onnx", "sentence-transformers", "oracle"), "onnx")
    oracle_embedding_model: str = _setting(oracle_name, "")

    # Stored prompts
    store_prompts: bool = _setting(boolean, "false")
    redact_stored_prompts: bool = _setting(boolean, "true")
    prompt_retention_days: int = _setting(integer(1), "30")
    replay_key: str = _setting(secret, "", hide=True)

    # Budgets
    budget_enabled: bool = _setting(boolean, "true")
    budget_fail_mode: str = _setting(choice("open", "closed"), "open")
    unpriced_cost: str = _setting(money_or_admit, "admit")
    allow_private_webhooks: bool = _setting(boolean, "false")

    # OpenTelemetry and Prometheus
    otel_enabled: bool = _setting(boolean, "false")
    otel_endpoint: str = _setting(http_url, "http://localhost:4317")
    otel_service_name: str = _setting(plain, "tokenwatch")
    otel_traces_per_second: int = _setting(integer(0), "200")
    metrics_token: str = _setting(secret, "", hide=True)

    @property
    def keys_required(self) -> bool:
        """Whether a request needs a client key: by default where other machines reach it."""
        if self.require_keys == "auto":
            return not is_loopback(self.host)
        return self.require_keys == "always"

    @property
    def limits_dir(self) -> Path:
        """Where the workers share the counts of rate limits."""
        return self.data_dir / "limits"

    @property
    def spool_dir(self) -> Path:
        """Where answered requests wait for the database."""
        return self.data_dir / "spool"

    @property
    def run_file(self) -> Path:
        """Where a running ``start`` tells ``status`` its process id and ports."""
        return self.data_dir / "run.json"


def load(environ_: Mapping[str, str]) -> Config:
    """Read and check all settings.

    Raises:
        ImproperlyConfigured: a value is bad, or values contradict each other; the
            message begins with the variable's name and never repeats a secret.
    """
    values: dict[str, Any] = {}
    for spec in fields(Config):
        name = PREFIX + spec.name.upper()
        text = environ_.get(name, "")
        if not text.strip():  # an empty variable counts as not set
            text = spec.metadata["default"]
        try:
            values[spec.name] = spec.metadata["parser"](text)
        except ValueError as exc:
            # Anything with an @ may be an address with a password in it.
            shown = "" if spec.metadata["hide"] or "@" in text else f", got {text!r}"
            raise ImproperlyConfigured(f"{name}: {exc}{shown}") from None
    config = Config(**values)
    if config.oracle_user and not config.oracle_password:
        raise ImproperlyConfigured(f"{PREFIX}ORACLE_PASSWORD: required with {PREFIX}ORACLE_USER")
    if config.embedder == "oracle" and not config.oracle_embedding_model:
        raise ImproperlyConfigured(
            f"{PREFIX}ORACLE_EMBEDDING_MODEL: required with {PREFIX}EMBEDDER=oracle"
        )
    if config.embedder == "oracle" and not config.oracle_user:
        raise ImproperlyConfigured(
            f"{PREFIX}EMBEDDER: oracle needs Oracle as the database ({PREFIX}ORACLE_USER)"
        )
    if config.proxy_port and config.proxy_port == config.dashboard_port:
        raise ImproperlyConfigured(
            f"{PREFIX}DASHBOARD_PORT: must differ from {PREFIX}PROXY_PORT ({config.proxy_port})"
        )
    return config


def read_env_file() -> None:
    """Put ``.env`` (or the file that TOKENWATCH_ENV_FILE names) under the real environment."""
    path = os.environ.get("TOKENWATCH_ENV_FILE", str(BASE_DIR / ".env"))
    if path and Path(path).is_file():
        environ.Env.read_env(path)


read_env_file()
config = load(os.environ)
