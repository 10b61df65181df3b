"""When keys were last used, and which keys let somebody in."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError

from access import store
from access.expiry import parse_expiry
from access.models import ProxyKey
from access.store import LastUsed, usable_keys
from tokenwatch import policy

NOW = datetime(2027, 1, 15, 12, 30, tzinfo=UTC)
AT = NOW.timestamp()


def made(name, **values):
    row = ProxyKey(name=name, **values)
    row.set_key(f"tw-{name}")
    row.save()
    return row


@pytest.mark.django_db
def test_usable_keys_are_enabled_and_not_over():
    assert usable_keys(NOW) == 0
    made("off", enabled=False)
    made("over", expires_at=NOW)
    assert usable_keys(NOW) == 0
    made("later", expires_at=NOW + timedelta(seconds=1))
    made("good")
    assert usable_keys(NOW) == 2


@pytest.mark.django_db(transaction=True)
def test_last_use_is_written_once_a_minute_and_wakes_nobody():
    row = made("k")
    version = policy.current()
    used = LastUsed()
    used.seen[row.pk] = AT
    used.flush(AT)
    used.seen[row.pk] = AT + 5
    used.flush(AT + 5)
    assert ProxyKey.objects.get().last_used_at == NOW
    used.flush(AT + 61)
    assert ProxyKey.objects.get().last_used_at == NOW + timedelta(seconds=5)
    used.seen[row.pk] = AT  # another worker saw it later
    used.flush(AT + 62, all_of_it=True)
    assert ProxyKey.objects.get().last_used_at == NOW + timedelta(seconds=5)
    assert used.seen == {}
    assert policy.current() == version


@pytest.mark.django_db(transaction=True)
def test_last_use_waits_for_a_database_that_is_away(monkeypatch):
    used = LastUsed()
    used.seen[1] = AT

    def away(_):
        used.seen[2] = AT + 1  # a request meanwhile
        raise DatabaseError("away")

    monkeypatch.setattr(store, "_write", away)
    used.flush(AT)
    assert used.seen == {1: AT, 2: AT + 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30d", NOW + timedelta(days=30)),
        ("12 h", NOW + timedelta(hours=12)),
        ("2027-01-31", datetime(2027, 2, 1, tzinfo=UTC)),
        ("2027-01-15", datetime(2027, 1, 16, tzinfo=UTC)),
        ("2027-01-31T08:00", datetime(2027, 1, 31, 8, tzinfo=UTC)),
        ("2027-01-31T08:00+02:00", datetime(2027, 1, 31, 6, tzinfo=UTC)),
    ],
)
def test_until_when(text, expected):
    assert parse_expiry(text, NOW) == expected


@pytest.mark.parametrize(
    "text", ["", "soon", "0d", "2027-01-14", "-3d", "2027-13-01", "9999-12-31"]
)
def test_not_until_when(text):
    with pytest.raises(ValueError, match=r"\."):
        parse_expiry(text, NOW)
