"""Client keys and rate limits in the admin."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.urls import reverse

from access.keys import Denied
from access.models import ProxyKey, RateLimit
from access.store import load_keys, load_limits
from tokenwatch import policy

pytestmark = pytest.mark.django_db
KEYS = reverse("admin:access_proxykey_changelist")
ADD = reverse("admin:access_proxykey_add")
LIMITS = reverse("admin:access_ratelimit_changelist")
ADD_LIMIT = reverse("admin:access_ratelimit_add")
KEY = re.compile(r"tw-[\w-]{43}")


def page(answer):
    return answer.content.decode()


def make(client, name="ci", **values):
    answer = client.post(ADD, {"name": name, "enabled": "on", **values})
    (key,) = KEY.findall(page(answer))
    return key, answer


def test_a_key_is_shown_once_and_goes_through_no_cookie_or_session(admin_client):
    before = policy.current()
    key, answer = make(admin_client, app="shop", requests_per_minute="5")
    assert policy.current() > before
    found = load_keys().find(key.encode(), 0.0)
    assert (found.app, found.limit and found.limit.requests) == ("shop", 5)
    assert "no-store" in answer["Cache-Control"]
    assert not any(key in cookie.value for cookie in admin_client.cookies.values())
    assert not any(key in str(session.get_decoded()) for session in Session.objects.all())
    assert not any(key in str(vars(entry)) for entry in LogEntry.objects.all())
    row = ProxyKey.objects.get()
    shown = page(admin_client.get(KEYS)) + page(
        admin_client.get(reverse("admin:access_proxykey_change", args=[row.pk]))
    )
    assert key[:9] in shown
    assert key[9:] not in shown
    assert row.digest not in shown


def test_a_change_keeps_the_key(admin_client):
    key, _ = make(admin_client)
    url = reverse("admin:access_proxykey_change", args=[ProxyKey.objects.get().pk])
    answer = admin_client.post(url, {"name": "renamed", "enabled": "on", "digest": "x"})
    assert answer.status_code == 302
    assert load_keys().find(key.encode(), 0.0).name == "renamed"


def test_revoking_and_rotating_several(admin_client):
    first, _ = make(admin_client, "a")
    make(admin_client, "b")
    chosen = list(ProxyKey.objects.values_list("pk", flat=True))
    before = policy.current()
    answer = admin_client.post(KEYS, {"action": "revoke", "_selected_action": chosen}, follow=True)
    assert "2 client keys revoked." in page(answer)
    assert policy.current() > before
    with pytest.raises(Denied):
        load_keys().find(first.encode(), 0.0)
    admin_client.post(KEYS, {"action": "enable", "_selected_action": chosen})
    assert load_keys().find(first.encode(), 0.0)
    rotated = page(admin_client.post(KEYS, {"action": "rotate", "_selected_action": chosen}))
    new = KEY.findall(rotated)
    assert len(set(new)) == 2
    assert {load_keys().find(key.encode(), 0.0).name for key in new} == {"a", "b"}
    with pytest.raises(Denied):
        load_keys().find(first.encode(), 0.0)


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"requests_per_minute": "0"}, {"models_allowed": "[z-a]"}]
)
def test_what_cannot_work_is_refused(admin_client, wrong):
    answer = admin_client.post(ADD, {"name": "k", **wrong})
    assert KEY.search(page(answer)) is None
    assert not ProxyKey.objects.exists()


def test_rate_limits(admin_client):
    assert "at least one limit" in page(admin_client.post(ADD_LIMIT, {"name": "none"}))
    values = {"name": "all", "enabled": "on", "concurrent_requests": "7"}
    assert admin_client.post(ADD_LIMIT, values).status_code == 302
    assert [spec.concurrent for spec in load_limits().matching("", None)] == [7]
    shown = page(admin_client.get(LIMITS))
    assert "7 at once" in shown
    assert "all requests" in shown
    chosen = [RateLimit.objects.get().pk]
    admin_client.post(LIMITS, {"action": "disable", "_selected_action": chosen})
    assert load_limits().matching("", None) == ()
