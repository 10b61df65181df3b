"""`setup_admin` makes the first admin user and shows its password once."""

from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

pytestmark = pytest.mark.django_db


def run() -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("setup_admin", stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def shown_password(out: str) -> str:
    (line,) = [line for line in out.splitlines() if line.startswith("Password")]
    return line.split()[1]


def test_the_shown_password_opens_the_admin(client: Client) -> None:
    out, _ = run()
    assert "http://127.0.0.1:8878/admin/" in out
    assert client.login(username="admin", password=shown_password(out))
    assert client.get(reverse("admin:index")).status_code == 200


def test_a_second_run_says_and_changes_nothing() -> None:
    run()
    before = User.objects.get().password
    assert run() == ("", "")
    assert User.objects.get().password == before


def test_two_installations_have_different_passwords() -> None:
    first = shown_password(run()[0])
    User.objects.all().delete()
    second = shown_password(run()[0])
    assert first != second
    assert min(len(first), len(second)) >= 16


def test_an_operators_own_superuser_is_enough() -> None:
    User.objects.create_superuser("root", "", "secret")
    assert run() == ("", "")
    assert not User.objects.filter(username="admin").exists()


def test_a_taken_name_is_reported_and_does_not_stop_the_start() -> None:
    User.objects.create_user("admin", password="mine")
    out, err = run()
    assert out == ""
    assert "createsuperuser" in err
    assert not User.objects.get().is_superuser


@pytest.mark.parametrize("page", ["auth_user_changelist", "auth_user_add", "auth_group_add"])
def test_users_and_groups_are_edited_in_the_admins_own_style(
    admin_client: Client, page: str
) -> None:
    answer = admin_client.get(reverse(f"admin:{page}"))
    assert answer.status_code == 200
    assert "unfold" in answer.content.decode()


def test_an_admin_changes_anothers_password(admin_client: Client) -> None:
    other = User.objects.create_user("other")
    url = reverse("admin:auth_user_password_change", args=[other.pk])
    data = {"password1": "a-Long-one-77", "password2": "a-Long-one-77", "usable_password": "true"}
    assert admin_client.post(url, data).status_code == 302
    other.refresh_from_db()
    assert other.check_password("a-Long-one-77")
