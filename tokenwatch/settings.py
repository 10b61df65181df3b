"""Django's settings, derived from `tokenwatch.conf.config`; nothing else is read here."""

import logging
import os
import secrets
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse_lazy

from tokenwatch.conf import BASE_DIR, PREFIX, Config, config


def embedded_sqlite(path: Path | str) -> dict[str, Any]:
    """SQLite for concurrent writers: WAL, and transactions that take the write lock at once.

    With deferred transactions a reader that turns writer fails with "database is locked"
    instead of waiting its turn.
    """
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": (
                "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;PRAGMA mmap_size=268435456;"
                "PRAGMA cache_size=-65536;PRAGMA temp_store=MEMORY;"
            ),
        },
    }


def oracle(conf: Config) -> dict[str, Any]:
    """Oracle through a session pool; NAME is a whole DSN, so HOST and PORT stay empty."""
    import oracledb

    return {
        "ENGINE": "django.db.backends.oracle",
        "NAME": conf.oracle_dsn,
        "USER": conf.oracle_user,
        "PASSWORD": conf.oracle_password,
        "CONN_MAX_AGE": 0,  # the pool keeps the sessions; Django refuses another value with it
        "OPTIONS": {
            "pool": {
                "min": 2,
                "max": 16,
                "increment": 1,
                "getmode": oracledb.POOL_GETMODE_TIMEDWAIT,
                "wait_timeout": 5000,
                "timeout": 300,
                "max_lifetime_session": 3600,
                "ping_interval": 60,
            },
            "tcp_connect_timeout": 5.0,
            "retry_count": 2,
            "expire_time": 2,
        },
    }


def database(conf: Config) -> dict[str, Any]:
    """Choose the engine: Oracle where a user is set, else the URL, else the embedded file."""
    if conf.oracle_user:
        return oracle(conf)
    if conf.database_url:
        parsed: dict[str, Any] = environ.Env.db_url_config(conf.database_url)
        if parsed["ENGINE"].endswith("sqlite3"):
            return embedded_sqlite(parsed["NAME"])
        options = {"connect_timeout": 5, **parsed.get("OPTIONS", {})}
        # Under ASGI each request has a thread of its own: connections kept open would pile up.
        return {**parsed, "CONN_MAX_AGE": 0, "OPTIONS": options}
    return embedded_sqlite(conf.data_dir / "tokenwatch.sqlite3")


def installation_secret(conf: Config) -> str:
    """The configured key, else one made at the first start and kept under the data directory."""
    if conf.secret_key:
        return conf.secret_key
    path = conf.data_dir / "secret_key"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    key = secrets.token_urlsafe(50)
    with os.fdopen(fd, "w") as file:
        file.write(key)
    return key


class ExpectedAborts(logging.Filter):
    """Drop uvicorn's complaint about answers that TokenWatch broke off on purpose.

    ASGI has no word for "break this connection": returning before the body is complete is
    how a stream that the provider broke is broken for the client too.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return "returned without completing response" not in record.getMessage()


try:
    config.data_dir.mkdir(parents=True, exist_ok=True)
    SECRET_KEY = installation_secret(config)
except OSError as exc:
    raise ImproperlyConfigured(f"{PREFIX}DATA_DIR cannot be used: {exc}") from None

DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tokenwatch.urls"
ASGI_APPLICATION = "tokenwatch.asgi.application"
DATABASES = {"default": database(config)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SILENCED_SYSTEM_CHECKS = ["models.W037"]  # Oracle has no partial indexes: usage/models.py

INSTALLED_APPS = [
    "daphne",  # first: it gives `runserver` its ASGI server
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "tokenwatch",
    "upstreams",
    "usage",
    "budgets",
    "access",
    "routing",
    "experiments",
    "cache",
    "proxy",
    "dashboard",
    "ninja",  # for its documentation page's files, served from here
]
MIDDLEWARE = [
    "dashboard.middleware.ContentSecurityPolicy",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

LANGUAGE_CODE = "en-us"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True  # served from the packages: no collectstatic step
WHITENOISE_AUTOREFRESH = False

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_NAME = "tokenwatch_session"
CSRF_COOKIE_NAME = "tokenwatch_csrf"
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "SAMEORIGIN"
# TLS ends in front of TokenWatch, if anywhere. Only where that is so may cookies be for https
# alone, and may the front's word about the scheme be believed.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = config.https
SECURE_HSTS_SECONDS = 365 * 86_400 if config.https else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if config.https else None
SILENCED_SYSTEM_CHECKS = [
    "security.W005",  # HSTS for subdomains and
    "security.W021",  # the browsers' preload list: for the domain's owner to decide
    "security.W019",  # the admin shows pages of its own in frames
]
if not config.https:  # plain http on the loopback: browsers would keep no cookie for https
    SILENCED_SYSTEM_CHECKS += [f"security.W0{number}" for number in ("04", "08", "12", "16")]
LOGIN_URL = "admin:login"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"expected_aborts": {"()": ExpectedAborts}},
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["expected_aborts"],
        }
    },
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "tokenwatch": {"level": "INFO"},
        "django.request": {"level": "ERROR"},
    },
}

UNFOLD = {
    "SITE_TITLE": "TokenWatch",
    "SITE_HEADER": "TokenWatch",
    "SITE_SUBHEADER": "Every token, priced",
    "SITE_SYMBOL": "monitoring",
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda request: f"/{STATIC_URL}dashboard/favicon.svg",
        },
    ],
    "SHOW_HISTORY": True,
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": [
            {
                "title": "Dashboard",
                "items": [
                    {
                        "title": "Overview",
                        "icon": "monitoring",
                        "link": reverse_lazy("overview"),
                        # Every address begins with its own.
                        "active": lambda request: (
                            request.path == "/" or request.path.startswith("/requests/")
                        ),
                    },
                    {
                        "title": "Cost Intelligence",
                        "icon": "query_stats",
                        "link": reverse_lazy("cost"),
                    },
                    {
                        "title": "Experiments",
                        "icon": "science",
                        "link": reverse_lazy("experiments"),
                    },
                    {"title": "System", "icon": "dns", "link": reverse_lazy("system")},
                ],
            },
            {
                "title": "Ledger",
                "items": [
                    {
                        "title": "Requests",
                        "icon": "receipt_long",
                        "link": reverse_lazy("admin:usage_usagerecord_changelist"),
                    },
                    {
                        "title": "Prices",
                        "icon": "payments",
                        "link": reverse_lazy("admin:usage_modelprice_changelist"),
                    },
                ],
            },
            {
                "title": "Policies",
                "items": [
                    {
                        "title": "Budgets",
                        "icon": "savings",
                        "link": reverse_lazy("admin:budgets_budget_changelist"),
                    },
                    {
                        "title": "Routing rules",
                        "icon": "alt_route",
                        "link": reverse_lazy("admin:routing_routingrule_changelist"),
                    },
                    {
                        "title": "Tag rules",
                        "icon": "sell",
                        "link": reverse_lazy("admin:routing_tagrule_changelist"),
                    },
                    {
                        "title": "A/B tests",
                        "icon": "science",
                        "link": reverse_lazy("admin:experiments_abtest_changelist"),
                    },
                    {
                        "title": "Webhook log",
                        "icon": "webhook",
                        "link": reverse_lazy("admin:budgets_webhookdelivery_changelist"),
                    },
                ],
            },
            {
                "title": "Cache",
                "items": [
                    {
                        "title": "Entries",
                        "icon": "bolt",
                        "link": reverse_lazy("admin:cache_cacheentry_changelist"),
                    },
                ],
            },
            {
                "title": "Experiments",
                "items": [
                    {
                        "title": "Stored prompts",
                        "icon": "chat",
                        "link": reverse_lazy("admin:experiments_storedprompt_changelist"),
                    },
                    {
                        "title": "Replays",
                        "icon": "replay",
                        "link": reverse_lazy("admin:experiments_replayrun_changelist"),
                    },
                ],
            },
            {
                "title": "Providers",
                "items": [
                    {
                        "title": "Upstreams",
                        "icon": "dns",
                        "link": reverse_lazy("admin:upstreams_upstream_changelist"),
                    },
                    {
                        "title": "Upstream history",
                        "icon": "history",
                        "link": reverse_lazy("admin:upstreams_upstreamevent_changelist"),
                    },
                ],
            },
            {
                "title": "Access",
                "items": [
                    {
                        "title": "Client keys",
                        "icon": "vpn_key",
                        "link": reverse_lazy("admin:access_proxykey_changelist"),
                    },
                    {
                        "title": "Rate limits",
                        "icon": "speed",
                        "link": reverse_lazy("admin:access_ratelimit_changelist"),
                    },
                    {
                        "title": "Users",
                        "icon": "person",
                        "link": reverse_lazy("admin:auth_user_changelist"),
                    },
                    {
                        "title": "API tokens",
                        "icon": "key",
                        "link": reverse_lazy("admin:dashboard_apitoken_changelist"),
                    },
                    {"title": "API", "icon": "api", "link": reverse_lazy("api:openapi-view")},
                ],
            },
        ],
    },
}
