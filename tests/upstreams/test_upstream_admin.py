"""Upstreams in the admin."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tokenwatch import policy
from upstreams.models import Upstream, UpstreamEvent
from upstreams.store import Change, load_upstreams, record

pytestmark = pytest.mark.django_db
LIST = "admin:upstreams_upstream_changelist"
ADD = "admin:upstreams_upstream_add"
VALUES = {
    "name": "z",
    "api_type": "openai",
    "base_url": "https://api.example/",
    "priority": "9",
    "weight": "1",
}


@pytest.fixture
def two() -> list[Upstream]:
    return [
        Upstream.objects.create(name=name, api_type="openai", base_url=f"https://{name}.example")
        for name in ("a", "b")
    ]


def act(client: Client, action: str, chosen: list[Upstream]) -> str:
    data = {"action": action, "_selected_action": [str(upstream.pk) for upstream in chosen]}
    return client.post(reverse(LIST), data, follow=True).content.decode()


def test_the_list_shows_what_an_operator_looks_for(
    admin_client: Client, two: list[Upstream]
) -> None:
    page = admin_client.get(reverse(LIST), {"q": "a.example"}).content.decode()
    assert "https://a.example" in page
    assert "https://b.example" not in page


def test_adding_one_reaches_the_workers(admin_client: Client) -> None:
    before = policy.current()
    answer = admin_client.post(reverse("admin:upstreams_upstream_add"), {**VALUES, "enabled": "on"})
    assert answer.status_code == 302
    assert Upstream.objects.get().base_url == "https://api.example"
    assert policy.current() > before


def test_a_bad_url_is_refused_beside_its_field(admin_client: Client) -> None:
    values = {**VALUES, "base_url": "api.example"}
    answer = admin_client.post(reverse("admin:upstreams_upstream_add"), values)
    assert "expected an http:// or https:// URL" in answer.content.decode()
    assert not Upstream.objects.exists()


def test_disabling_and_enabling_several_reaches_the_workers(
    admin_client: Client, two: list[Upstream]
) -> None:
    before = policy.current()
    assert "2 upstreams disabled" in act(admin_client, "disable", two)
    assert not Upstream.objects.filter(enabled=True).exists()
    disabled = policy.current()
    assert disabled > before
    assert "1 upstream enabled" in act(admin_client, "enable", two[:1])
    assert policy.current() > disabled


def test_an_action_that_changes_nothing_reloads_nothing(
    admin_client: Client, two: list[Upstream]
) -> None:
    before = policy.current()
    assert "0 upstreams enabled" in act(admin_client, "enable", two)
    assert policy.current() == before


def test_priority_and_use_are_edited_in_the_list(admin_client: Client, two: list[Upstream]) -> None:
    before = policy.current()
    data = {"form-TOTAL_FORMS": "2", "form-INITIAL_FORMS": "2", "_save": "Save"}
    for number, upstream in enumerate(two):
        data |= {f"form-{number}-id": str(upstream.pk), f"form-{number}-priority": f"{number + 1}"}
        data[f"form-{number}-weight"] = "3"
    assert admin_client.post(reverse(LIST), data).status_code == 302
    assert [(u.priority, u.enabled) for u in Upstream.objects.order_by("name")] == [
        (1, False),
        (2, False),
    ]
    assert policy.current() > before


def test_who_may_only_look_cannot_switch(client: Client, two: list[Upstream]) -> None:
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_upstream"))
    client.force_login(viewer)
    act(client, "disable", two)
    assert Upstream.objects.filter(enabled=True).count() == 2


# Credentials


def page_of(client: Client, upstream: Upstream) -> str:
    url = reverse("admin:upstreams_upstream_change", args=[upstream.pk])
    return client.get(url).content.decode()


def save(client: Client, upstream: Upstream, **values: str) -> str:
    url = reverse("admin:upstreams_upstream_change", args=[upstream.pk])
    return client.post(url, {**VALUES, "enabled": "on", **values}, follow=True).content.decode()


@pytest.fixture
def kept(admin_client: Client) -> Upstream:
    values = {**VALUES, "enabled": "on", "credential": "sk-hunter2"}
    assert admin_client.post(reverse(ADD), values).status_code == 302
    return Upstream.objects.get()


def credential_in_use() -> str:
    (candidate,) = load_upstreams()
    return candidate.credential


def test_a_credential_is_kept_encrypted_and_never_shown_again(
    admin_client: Client, kept: Upstream
) -> None:
    assert credential_in_use() == "sk-hunter2"
    assert "hunter2" not in kept.sealed_credential
    page = page_of(admin_client, kept)
    assert "hunter2" not in page
    assert kept.sealed_credential not in page
    assert "hunter2" not in admin_client.get(reverse(LIST)).content.decode()


def test_saving_without_a_credential_keeps_it_and_another_replaces_it(
    admin_client: Client, kept: Upstream
) -> None:
    save(admin_client, kept, priority="5")
    assert credential_in_use() == "sk-hunter2"
    before = policy.current()
    save(admin_client, kept, credential="sk-other")
    assert credential_in_use() == "sk-other"
    assert policy.current() > before


def test_clearing_it_leaves_none_and_says_so(admin_client: Client, kept: Upstream) -> None:
    said = save(admin_client, kept, clear_credential="on")
    assert credential_in_use() == ""
    assert "without any credential" in said
    assert "not set" in page_of(admin_client, kept)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"credential": "two\nlines"}, "one line of printable ASCII"),
        ({"credential": "sch\u00fcssel"}, "one line of printable ASCII"),
        ({"credential": "x" * 1001}, "at most 1000 bytes"),
        ({"credential": "a", "clear_credential": "on"}, "Replace the credential, or clear it"),
        ({"credential": "a", "credential_env": "KEY"}, "not both"),
        ({"credential_env": "1 KEY"}, "Not the name of an environment variable"),
        ({"credential_env": "TOKENWATCH_ORACLE_PASSWORD"}, "a setting of TokenWatch"),
        ({"model_names": "[1]"}, "Write a JSON object"),
        ({"model_names": '{"a": 1}'}, "a text that is not empty"),
        ({"model_names": "{"}, "Not JSON"),
        ({"weight": "-1"}, "greater than or equal to 0"),
        ({"connect_timeout": "0"}, "greater than or equal to 0.1"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(
    admin_client: Client, values: dict[str, str], complaint: str
) -> None:
    answer = admin_client.post(reverse(ADD), {**VALUES, **values})
    assert complaint in answer.content.decode()
    assert not Upstream.objects.exists()


def test_a_credential_of_another_key_is_an_error_in_admin_and_leaves_it_out(
    admin_client: Client,
    kept: Upstream,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings.SECRET_KEY = "another"
    (candidate,) = load_upstreams()
    assert "TOKENWATCH_SECRET_KEY has changed" in candidate.problem
    assert candidate.credential == ""
    assert "Upstream z is left out" in caplog.text
    admin_client.force_login(User.objects.get(is_superuser=True))
    assert "TOKENWATCH_SECRET_KEY has changed" in page_of(admin_client, kept)
    assert "left out" in admin_client.get(reverse(LIST)).content.decode()
    save(admin_client, kept, credential="sk-again")
    assert credential_in_use() == "sk-again"


def test_the_first_upstream_is_offered_the_clients_key_and_others_are_not(
    admin_client: Client,
) -> None:
    def checked() -> bool:
        form = admin_client.get(reverse(ADD)).context["adminform"].form
        return bool(form["forward_client_credential"].value())

    assert checked()
    Upstream.objects.create(name="a", api_type="openai", base_url="https://a.example")
    assert not checked()


# Health


def change(state: str, until: float | None = None, error: str = "503") -> Change:
    return Change("openai", "a", state, 1_700_000_000.0, 5, error, until)


def test_the_list_shows_which_are_left_alone_and_why(
    admin_client: Client, two: list[Upstream]
) -> None:
    record([change("open", until=32_503_680_000.0, error="<b>connect</b>")], "host:1")
    page = admin_client.get(reverse(LIST)).content.decode()
    assert "resting" in page
    assert "connect" in page
    assert "<b>connect" not in page
    assert "3000-01-01 00:00:00 UTC" in page
    assert "host:1" in page_of(admin_client, two[0])
    record([change("open", until=1_700_000_005.0)], "host:1")
    assert "to be tried" in admin_client.get(reverse(LIST)).content.decode()
    record([change("closed")], "host:1")
    assert "resting" not in admin_client.get(reverse(LIST)).content.decode()


def test_the_lists_queries_do_not_grow_with_the_upstreams(admin_client: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as caught:
            admin_client.get(reverse(LIST))
        return len(caught)

    def add(number: int) -> None:
        Upstream.objects.create(name=str(number), api_type="openai", base_url="https://a.example")

    add(0)
    few = queries()
    for number in range(1, 10):
        add(number)
    assert queries() == few


def test_the_history_is_read_only(admin_client: Client) -> None:
    record([change("open", until=1_700_000_005.0), change("closed")], "host:1")
    url = reverse("admin:upstreams_upstreamevent_changelist")
    assert "host:1" in admin_client.get(url).content.decode()
    assert UpstreamEvent.objects.count() == 2
    assert admin_client.get(reverse("admin:upstreams_upstreamevent_add")).status_code == 403
