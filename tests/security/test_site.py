"""The admin's half: forged requests, fixed sessions, viewers who try to change, stored scripts."""

import json
import os
import subprocess
import sys

import pytest
from django.contrib.admin import site
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from access.models import ProxyKey, RateLimit
from budgets.models import Budget
from routing.models import TagRule
from tokenwatch.conf import BASE_DIR
from upstreams.models import Upstream
from upstreams.validation import host_problem

SCRIPT = "<script>alert(1)</script>"


def urls(model, pk):
    stem = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    return {
        "list": reverse(f"{stem}_changelist"),
        "add": reverse(f"{stem}_add"),
        "change": reverse(f"{stem}_change", args=[pk]),
        "delete": reverse(f"{stem}_delete", args=[pk]),
    }


def rows():
    """One row of each policy, its texts a script."""
    key = ProxyKey(name=SCRIPT, app=SCRIPT, tag=SCRIPT, models_allowed=SCRIPT)
    key.set_key("tw-" + "s" * 43)
    key.save()
    return [
        key,
        RateLimit.objects.create(name=SCRIPT, app=SCRIPT, requests_per_minute=1),
        Budget.objects.create(name=SCRIPT, scope="app", pattern=SCRIPT, unit="usd", limit=1),
        TagRule.objects.create(name=SCRIPT, kind="tag_app", pattern=SCRIPT, tag=SCRIPT),
        Upstream.objects.create(
            name=SCRIPT, api_type="openai", base_url="https://api.example", model_names=""
        ),
    ]


def state():
    models = (ProxyKey, RateLimit, Budget, TagRule, Upstream, User)
    return [list(model.objects.order_by("pk").values()) for model in models]


@pytest.mark.django_db
def test_no_form_and_no_action_is_taken_from_another_site(admin_user):
    """A page elsewhere has the browser's cookies with it, and not the token of the form."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    made = rows()
    before = state()
    for row in made:
        where = urls(type(row), row.pk)
        admin = site.get_model_admin(type(row))
        for action in ("delete_selected", *(admin.actions or ())):
            data = {"action": action, "_selected_action": row.pk, "post": "yes"}
            assert client.post(where["list"], data).status_code == 403
        for name in ("add", "change", "delete"):
            assert client.post(where[name], {"name": "x", "post": "yes"}).status_code == 403
    assert client.post(reverse("admin:logout")).status_code == 403
    assert state() == before


@pytest.mark.django_db
def test_a_viewer_sees_and_changes_nothing(client):
    viewer = User.objects.create_user("viewer", password="only to look", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client.force_login(viewer)
    made = rows()
    client.get(reverse("admin:index"))
    before = state()
    for row in made:
        where = urls(type(row), row.pk)
        assert client.get(where["list"]).status_code == 200
        assert client.get(where["change"]).status_code == 200
        assert client.get(where["add"]).status_code == 403
        admin = site.get_model_admin(type(row))
        for action in ("delete_selected", *(admin.actions or ())):
            client.post(where["list"], {"action": action, "_selected_action": row.pk})
        client.post(where["list"], {"form-TOTAL_FORMS": 1, "form-0-id": row.pk, "_save": "1"})
        for name in ("add", "change", "delete"):
            data = {"name": "x", "enabled": "on", "post": "yes"}
            assert client.post(where[name], data).status_code == 403
    assert state() == before


@pytest.mark.django_db
def test_nobody_without_a_login_sees_anything(client):
    for row in rows():
        for url in urls(type(row), row.pk).values():
            assert client.get(url).status_code == 302
            assert client.post(url, {"post": "yes"}).status_code == 302


@pytest.mark.django_db
def test_a_script_in_a_field_is_shown_as_text(admin_client):
    for row in rows():
        where = urls(type(row), row.pk)
        for name in ("list", "change", "delete"):
            shown = admin_client.get(where[name]).content.decode()
            assert SCRIPT not in shown, where[name]
        assert "&lt;script&gt;" in admin_client.get(where["list"]).content.decode()


@pytest.mark.django_db
def test_a_session_that_was_fixed_before_the_login_is_worth_nothing(client):
    User.objects.create_superuser("admin", password="a long enough one")
    login = reverse("admin:login")
    client.get(login)
    fixed = client.session
    fixed["planted"] = True
    fixed.save()
    planted = fixed.session_key
    answer = client.post(login, {"username": "admin", "password": "a long enough one"})
    assert answer.status_code == 302
    assert client.session.session_key != planted
    thief = Client()
    thief.cookies["tokenwatch_session"] = planted
    assert thief.get(reverse("admin:index")).status_code == 302


@pytest.mark.django_db
def test_a_session_ends_with_the_logout_and_with_a_new_password(client):
    user = User.objects.create_superuser("admin", password="a long enough one")
    client.post(reverse("admin:login"), {"username": "admin", "password": "a long enough one"})
    cookie = client.cookies["tokenwatch_session"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    stolen = Client()
    stolen.cookies["tokenwatch_session"] = cookie.value
    index = reverse("admin:index")
    assert stolen.get(index).status_code == 200
    user.set_password("another long one")
    user.save()
    assert stolen.get(index).status_code == 302
    client.force_login(user)
    stolen.cookies["tokenwatch_session"] = client.cookies["tokenwatch_session"].value
    assert stolen.get(index).status_code == 200
    client.post(reverse("admin:logout"))
    assert stolen.get(index).status_code == 302


@pytest.mark.parametrize("https", ["false", "true"])
def test_the_deployment_check_has_nothing_to_say(tmp_path, https):
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("TOKENWATCH", "DJANGO"))
    }
    environment |= {
        "TOKENWATCH_ENV_FILE": "",
        "TOKENWATCH_DATA_DIR": str(tmp_path),
        "TOKENWATCH_HTTPS": https,
    }
    script = (
        "import django, json; from django.conf import settings as s; django.setup();"
        "from django.core.checks import run_checks;"
        "print(json.dumps([[str(m) for m in run_checks(include_deployment_checks=True)"
        " if not m.is_silenced()], s.SESSION_COOKIE_SECURE, s.SECURE_HSTS_SECONDS > 0]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=BASE_DIR,
        env=environment | {"DJANGO_SETTINGS_MODULE": "tokenwatch.settings"},
        capture_output=True,
        text=True,
    )
    assert json.loads(done.stdout) == [[], https == "true", https == "true"], done.stderr


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "fe80::1",
        "::ffff:169.254.169.254",
        "fd00:ec2::254",
        "2852039166",
        "0xa9fea9fe",
        "0xa9.254.0xa9.254",
        "0251.0376.0251.0376",
        "169.254.43518",
        "metadata.google.internal",
        "Metadata.Google.Internal.",
        "100.100.100.200",
        "0.0.0.0",
        "::",
        "224.0.0.1",
    ],
)
def test_no_upstream_is_a_metadata_service(host):
    assert host_problem(host)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "::1", "10.0.0.8", "192.168.1.5", "api.openai.com", "vllm", "1.2.3.4"]
)
def test_machines_of_ones_own_may_be_upstreams(host):
    assert host_problem(host) == ""
