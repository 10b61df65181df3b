"""What all commands share: text that cannot steer a terminal, tables, JSON, errors."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError
from django.db import OperationalError, ProgrammingError
from hypothesis import given
from hypothesis import strategies as st

from tokenwatch.commands import Error, TokenWatchCommand, one_line, visible


class Printing(TokenWatchCommand):
    """A command that does what a test says."""

    def __init__(self, action: Any) -> None:
        super().__init__()
        self.action = action

    def handle(self, *args: Any, **options: Any) -> None:
        self.action(self)


def printed(action: Any) -> str:
    out = StringIO()
    options = {"force_color": False, "no_color": False, "stdout": out, "skip_checks": True}
    Printing(action).execute(**options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("crm", "crm"),
        ("Größe 日本 🙂", "Größe 日本 🙂"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\rb\nc\td", "a\\rb\\nc\\td"),
        ("\x9b0m", "\\x9b0m"),
        ("abc\u202edef", "abc\\u202edef"),
        ("lone \ud800", "lone \\ud800"),
        (12, "12"),
    ],
)
def test_control_characters_are_shown_and_not_obeyed(text: object, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_whatever_a_client_sends_prints_as_one_line(text: str) -> None:
    shown = visible(text)
    assert not any(ord(sign) < 32 or 0x7F <= ord(sign) < 0xA0 for sign in shown)
    shown.encode()


def test_a_table_shows_markup_as_it_is_and_is_not_cut_in_a_pipe() -> None:
    cells = ("[red]not markup[/red]", ":smile:", "x" * 120)
    table = printed(lambda command: command.write_table(("Name", "Emoji", "Long"), [cells]))
    for cell in cells:
        assert cell in table


def test_numbers_stand_at_the_right() -> None:
    table = printed(lambda command: command.write_table(("Count>",), [(1,), (1000,)]))
    assert [line.rstrip() for line in table.splitlines()] == ["Count", "    1", " 1000"]


def test_json_has_exact_money_and_utc_times() -> None:
    value = {"cost": Decimal("1E-10"), "at": datetime(2026, 11, 23, 12, tzinfo=UTC), "none": None}
    text = printed(lambda command: command.write_json(value))
    assert text.count("\n") == 1
    expected = {"cost": "0.0000000001", "at": "2026-11-23T12:00:00Z", "none": None}
    assert json.loads(text) == expected


def test_json_of_something_else_is_a_mistake_and_not_a_guess() -> None:
    with pytest.raises(TypeError):
        printed(lambda command: command.write_json({"value": object()}))


@pytest.mark.parametrize(
    ("raised", "line"),
    [
        (OperationalError("connection refused\nIs the server running?"), "connection refused"),
        (ProgrammingError('relation "tw_usage" does not exist'), "migrate"),
        (CommandError("no\x1b"), "no\\x1b"),
    ],
)
def test_what_goes_wrong_becomes_one_line(raised: Exception, line: str) -> None:
    def fail(_: TokenWatchCommand) -> None:
        raise raised

    with pytest.raises(Error) as caught:
        printed(fail)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mistake_of_ours_is_not_hidden() -> None:
    def fail(_: TokenWatchCommand) -> None:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        printed(fail)


def test_an_error_without_words_is_called_by_its_class() -> None:
    assert one_line(OperationalError()) == "OperationalError"


def confirm(monkeypatch: pytest.MonkeyPatch, answer: str | None) -> None:
    """Ask on a terminal where somebody types; None: they close it."""

    def typed(_: str) -> str:
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("builtins.input", typed)
    printed(lambda command: command.confirm("Sure?", yes=False))


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("answer", ["y", "YES", " yes "])
def test_yes_goes_on(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    confirm(monkeypatch, answer)


@pytest.mark.parametrize("answer", ["", "n", "yeah", None])
def test_anything_else_changes_nothing(monkeypatch: pytest.MonkeyPatch, answer: str | None) -> None:
    with pytest.raises(Error, match="nothing was changed"):
        confirm(monkeypatch, answer)


def test_nobody_is_asked_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", StringIO("y\n"))
    with pytest.raises(Error, match="--yes"):
        printed(lambda command: command.confirm("Sure?", yes=False))
    printed(lambda command: command.confirm("Sure?", yes=True))
