"""`upstream add|list|remove|test`."""

import json
import socket
import threading
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from tokenwatch import policy
from tokenwatch.commands import Error
from upstreams.checking import verdict
from upstreams.models import Upstream
from upstreams.store import load_upstreams

pytestmark = pytest.mark.django_db


def upstream(*args: str) -> str:
    out = StringIO()
    call_command("upstream", *args, stdout=out)
    return out.getvalue()


def add(name: str = "z", url: str = "https://api.example", *more: str) -> str:
    return upstream("add", name, "--api-type", "openai", "--base-url", url, *more)


def test_a_url_that_would_double_v1_is_pointed_out() -> None:
    assert "leave /v1 out" in add("a", "https://api.example/v1/")
    assert "/v1" not in add("b", "https://api.example/v4")


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
        "weight": 1,
        "enabled": True,
        "connect_timeout": None,
        "overall_timeout": None,
        "forward_client_credential": True,
        "credential_set": False,
        "credential_env": "",
        "model_names": {},
        "state": "closed",
        "since": None,
        "until": None,
        "last_error": "",
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


# Credentials


def given(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", StringIO(text))


def test_a_credential_comes_by_standard_input_and_is_never_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given(monkeypatch, "sk-hunter2\n")
    said = add("z", "https://api.example", "--credential")
    (candidate,) = load_upstreams()
    assert (candidate.credential, candidate.forwards_credential) == ("sk-hunter2", False)
    assert "own credential" in said
    for out in (said, upstream("list"), upstream("list", "--json")):
        assert "hunter2" not in out
    assert json.loads(upstream("list", "--json"))[0]["credential_set"] is True


def test_an_empty_credential_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, "\n")
    with pytest.raises(Error, match="standard input is empty"):
        add("z", "https://api.example", "--credential")
    assert not Upstream.objects.exists()


def test_a_credential_from_a_variable(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PROVIDER_KEY", "sk-env")
    add("z", "https://api.example", "--credential-env", "PROVIDER_KEY")
    assert load_upstreams()[0].credential == "sk-env"
    monkeypatch.delenv("PROVIDER_KEY")
    assert load_upstreams()[0].problem == "the variable PROVIDER_KEY is not set"
    assert "Upstream z is left out: the variable PROVIDER_KEY is not set" in caplog.text
    assert "left out" in upstream("list")
    assert json.loads(upstream("list", "--json"))[0]["state"] == "problem"


def test_the_clients_key_goes_to_the_first_host_and_to_no_other() -> None:
    add("one", "https://api.example")
    add("same", "https://API.example/v2")
    said = add("other", "https://other.example")
    assert "It gets no credential" in said
    flags = {c.name: c.forwards_credential for c in load_upstreams()}
    assert flags == {"one": True, "same": True, "other": False}


def test_who_says_so_decides_whether_the_clients_key_goes_there() -> None:
    add("one", "https://api.example", "--no-forward-client-credential")
    said = add("other", "https://other.example", "--forward-client-credential")
    assert "no credential," not in said
    flags = {c.name: c.forwards_credential for c in load_upstreams()}
    assert flags == {"one": False, "other": True}


def test_weights_timeouts_and_model_names() -> None:
    more = ("--weight", "3", "--connect-timeout", "2", "--overall-timeout", "30.5")
    add("z", "https://api.example", *more, "--model-names", '{"a": "b"}')
    (candidate,) = load_upstreams()
    assert (candidate.weight, candidate.models) == (3, {"a": "b"})
    assert (candidate.connect_timeout, candidate.overall_timeout) == (2.0, 30.5)


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (("--weight", "1001"), "weight: "),
        (("--model-names", "x"), "model-names: "),
        (("--overall-timeout", "0"), "overall-timeout: "),
        (("--credential-env", "TOKENWATCH_SECRET_KEY"), "credential-env: "),
    ],
)
def test_bad_options_are_refused_by_name(more: tuple[str, str], complaint: str) -> None:
    with pytest.raises(Error) as caught:
        add("z", "https://api.example", *more)
    assert str(caught.value).startswith(complaint)
    assert not Upstream.objects.exists()


# Trying one


def served(status: bytes, seen: list[bytes]) -> Any:
    """An upstream in a thread that answers one request."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as connection:
            seen.append(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\n\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_trying_one_shows_whether_its_credential_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    monkeypatch.setenv("PROVIDER_KEY", "sk-env")
    add("z", served(b"200 OK", seen), "--credential-env", "PROVIDER_KEY")
    assert "takes the credential (HTTP 200" in upstream("test", "z")
    assert seen[0].startswith(b"GET /v1/models HTTP/1.1\r\n")
    assert b"Bearer sk-env" in seen[0]


def test_a_refused_credential_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVIDER_KEY", "sk-env")
    add("z", served(b"401 No", []), "--credential-env", "PROVIDER_KEY")
    with pytest.raises(Error, match=r"refuses the credential \(HTTP 401"):
        upstream("test", "z")


def test_one_that_is_not_there_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    add("z", url)
    with pytest.raises(Error, match="no answer"):
        upstream("test", "z")
    with pytest.raises(SystemExit) as caught:
        upstream("test", "z", "--json")
    assert caught.value.code == 1


@pytest.mark.parametrize(
    ("status", "own", "ok"),
    [
        (200, True, True),
        (200, False, True),
        (302, False, True),
        (401, False, True),
        (403, True, False),
        (404, True, True),
        (429, True, False),
        (500, False, False),
    ],
)
def test_what_an_answer_says(status: int, own: bool, ok: bool) -> None:
    assert verdict(status, own_credential=own)[0] is ok
