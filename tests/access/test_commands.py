"""`key create|list|revoke|rotate|remove` and `limit set|list|remove`."""

import json
import time
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection

from access.keys import Denied, digest
from access.models import ProxyKey, RateLimit
from access.store import load_keys, load_limits
from tokenwatch import policy
from tokenwatch.commands import Error

pytestmark = pytest.mark.django_db


def run(*args):
    out, err = StringIO(), StringIO()
    call_command(*args, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def as_json(*args):
    return json.loads(run(*args, "--json")[0])


def find(key):
    return load_keys().find(key.encode(), time.time())


def stored():
    """Everything that the tables of keys hold, as text."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM tw_proxy_key")
        return repr(cursor.fetchall())


def test_a_key_is_printed_once_and_stored_nowhere():
    said, hint = run("key", "create", "ci")
    key = said.strip()
    assert key.startswith("tw-")
    assert len(key) == 46
    assert key not in hint
    assert "shown this once" in hint
    assert key[9:] not in stored()
    assert ProxyKey.objects.get().digest == digest(key.encode())
    found = find(key)
    assert (found.name, found.app, found.limit) == ("ci", "ci", None)
    assert key[9:] not in run("key", "list")[0] + json.dumps(as_json("key", "list"))


def test_all_options():
    args = ["--app", "shop", "--tag", "night", "--models", "gpt-*, o3", "--upstreams", "eu"]
    args += ["--requests-per-minute", "60", "--tokens-per-minute", "9000"]
    made = as_json("key", "create", "k", *args, "--concurrent-requests", "3", "--expires", "30d")
    key = find(made["key"])
    assert (key.app, key.tag, key.models, key.upstreams) == (
        "shop",
        "night",
        ("gpt-*", "o3"),
        ("eu",),
    )
    assert key.limit is not None
    assert (key.limit.requests, key.limit.tokens, key.limit.concurrent) == (60, 9000, 3)
    assert key.expires_at is not None
    (shown,) = as_json("key", "list")
    assert "digest" not in shown
    assert shown["requests_per_minute"] == 60


def test_a_key_may_leave_the_app_to_its_requests():
    assert find(as_json("key", "create", "k", "--app", "")["key"]).app == ""


def test_rotation_ends_the_old_key_and_revocation_any():
    old = as_json("key", "create", "ci")["key"]
    before = policy.current()
    new = as_json("key", "rotate", "ci")["key"]
    assert policy.current() > before
    with pytest.raises(Denied, match="no such"):
        find(old)
    assert find(new).name == "ci"
    assert "Revoked" in run("key", "revoke", new[:9])[0]
    with pytest.raises(Denied, match="revoked"):
        find(new)
    assert "revoked" in run("key", "list")[0]
    run("key", "remove", "ci", "--yes")
    assert "No client keys" in run("key", "list")[0]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("create", ""), "name: "),
        (("create", "a\nb"), "name: "),
        (("create", "k", "--models", "[z-a]"), "models: No name can match"),
        (("create", "k", "--requests-per-minute", "0"), "requests-per-minute: "),
        (("create", "k", "--requests-per-minute", "x"), "invalid int"),
        (("create", "k", "--expires", "soon"), "expires: Write 30d"),
        (("create", "k", "--expires", "2020-01-01"), "expires: That is over"),
        (("revoke", "nobody"), "no client key has the name 'nobody'"),
        (("revoke", "tw-abcdefghijklmnop"), "'tw-abcdef…'"),
        ((), "create|list"),
    ],
)
def test_bad_input_is_one_clear_line(args, said):
    with pytest.raises(Error) as caught:
        run("key", *args)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not ProxyKey.objects.exists()


def test_a_name_is_taken_once():
    run("key", "create", "ci")
    with pytest.raises(Error, match="already exists"):
        run("key", "create", "ci")


def test_rate_limits():
    assert "No rate limits" in run("limit", "list")[0]
    before = policy.current()
    run("limit", "set", "all", "--requests-per-minute", "600")
    assert policy.current() > before
    run("limit", "set", "shop", "--app", "shop", "--tokens-per-minute", "1000")
    index = load_limits()
    assert [spec.requests for spec in index.matching("x", None)] == [600]
    assert [spec.tokens for spec in index.matching("shop", None)] == [None, 1000]
    assert as_json("limit", "set", "all", "--requests-per-minute", "700")["app"] == ""
    assert "all requests" in run("limit", "list")[0]
    assert [one["requests_per_minute"] for one in as_json("limit", "list")] == [700, None]
    run("limit", "remove", "all")
    assert load_limits().matching("x", None) == ()
    for args, said in (
        (("set", "none"), "at least one limit"),
        (("remove", "nothing"), "no rate limit has the name"),
    ):
        with pytest.raises(Error, match=said):
            run("limit", *args)
    RateLimit.objects.update(enabled=False)
    assert load_limits().matching("shop", None) == ()
