"""`upstream add|list|remove`."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from tokenwatch import policy
from tokenwatch.commands import Error
from upstreams.models import Upstream
from upstreams.store import load_upstreams

pytestmark = pytest.mark.django_db


def upstream(*args: str) -> str:
    out = StringIO()
    call_command("upstream", *args, stdout=out)
    return out.getvalue()


def add(name: str = "z", url: str = "https://api.example", *more: str) -> str:
    return upstream("add", name, "--api-type", "openai", "--base-url", url, *more)


def test_an_added_upstream_is_the_one_that_serves() -> None:
    assert "Added upstream z" in add("z", "https://api.example/v4/", "--priority", "5")
    (candidate,) = load_upstreams()
    assert (candidate.name, candidate.base_url) == ("z", "https://api.example/v4")
    assert Upstream.objects.get().priority == 5


def test_a_disabled_one_is_kept_but_not_used() -> None:
    add("z", "https://api.example", "--disabled")
    assert load_upstreams() == []
    assert not Upstream.objects.get().enabled


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("z", "ftp://host"), "base-url: "),
        (("z", "api.example"), "base-url: "),
        (("z", "https://h?x=1"), "base-url: "),
        (("", "https://h"), "name: "),
        (("n" * 101, "https://h"), "name: "),
    ],
)
def test_bad_values_are_refused_in_one_line(args: tuple[str, str], complaint: str) -> None:
    with pytest.raises(Error) as caught:
        add(*args)
    assert str(caught.value).startswith(complaint)
    assert "\n" not in str(caught.value)
    assert not Upstream.objects.exists()


def test_a_name_is_given_once() -> None:
    add()
    with pytest.raises(Error, match=r"^name: .*exists"):
        add()
    assert Upstream.objects.count() == 1


def test_the_list_as_json_and_as_a_table() -> None:
    add("z", "https://api.example", "--priority", "7")
    (found,) = json.loads(upstream("list", "--json"))
    assert found.pop("created_at").endswith("Z")
    expected: dict[str, Any] = {
        "id": Upstream.objects.get().pk,
        "name": "z",
        "api_type": "openai",
        "base_url": "https://api.example",
        "priority": 7,
        "enabled": True,
    }
    assert found == expected
    assert "https://api.example" in upstream("list")


def test_an_empty_list_says_what_serves_instead() -> None:
    assert json.loads(upstream("list", "--json")) == []
    assert "the configured URLs serve" in upstream("list")


def test_removing_by_name_or_id() -> None:
    add("a")
    add("b")
    upstream("remove", "a", "--yes")
    upstream("remove", str(Upstream.objects.get(name="b").pk), "--yes")
    assert not Upstream.objects.exists()


def test_a_name_of_digits_goes_before_an_id() -> None:
    add("first")
    digits = str(Upstream.objects.get().pk)
    add(digits)
    upstream("remove", digits, "--yes")
    assert Upstream.objects.get().name == "first"


@pytest.mark.parametrize("reference", ["nobody", "0", "99999999999999999999999", "²"])
def test_removing_what_is_not_there_is_an_error(reference: str) -> None:
    with pytest.raises(Error, match="no upstream"):
        upstream("remove", reference, "--yes")


def test_removing_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    add()
    monkeypatch.setattr("sys.stdin", StringIO("y\n"))
    with pytest.raises(Error, match="--yes"):
        upstream("remove", "z")
    assert Upstream.objects.exists()


def test_a_name_cannot_steer_the_terminal() -> None:
    assert "\x1b" not in add("\x1b[2Jz")
    assert "\x1b" not in upstream("list")
    assert "\x1b" not in upstream("list", "--json")


def test_every_change_reaches_the_workers() -> None:
    versions = [policy.current()]
    add()
    versions.append(policy.current())
    changed = Upstream.objects.get()
    changed.priority = 1
    changed.save()
    versions.append(policy.current())
    upstream("remove", "z", "--yes")
    versions.append(policy.current())
    assert versions == sorted(set(versions))
