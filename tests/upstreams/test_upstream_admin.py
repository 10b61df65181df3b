"""Upstreams in the admin."""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from tokenwatch import policy
from upstreams.models import Upstream

pytestmark = pytest.mark.django_db
LIST = "admin:upstreams_upstream_changelist"
VALUES = {"name": "z", "api_type": "openai", "base_url": "https://api.example/", "priority": "9"}


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
