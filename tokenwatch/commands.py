"""What the project's commands share: their errors, their tables and their JSON.

How it fails: bad input, and a database that does not answer, end a command with exit
status 1 and one line on standard error (``--traceback`` shows where it came from).
A reader that goes away (``| head``) ends it quietly.
"""

import json
import os
import re
import sys
from argparse import ArgumentParser
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser, SystemCheckError
from django.db import Error as DatabaseProblem
from rich.console import Console
from rich.table import Table

WIDTH_WITHOUT_TERMINAL = 200
"""Columns of a table that goes into a file or a pipe: nothing needs to be cut there."""

# C0 and C1 controls, surrogates, line separators, and the marks that change the direction
# of writing: what a client sent as its name must not steer the reader's terminal.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


class Error(CommandError):
    """One clear line for the user, shown as ``Error: <line>``; exit status 1."""


class Parser(CommandParser):
    """argparse's parser that says what is wrong in one line and exits with 1, not 2."""

    called_from_command_line: bool

    def error(self, message: str) -> NoReturn:
        if self.called_from_command_line:
            self.exit(1, f"Error: {visible(message)} (see {self.prog} --help)\n")
        raise Error(visible(message))


class TokenWatchCommand(BaseCommand):
    """Base of the project's commands."""

    requires_system_checks = ()  # they cost more than most commands do
    suppressed_base_arguments = {
        "--version",
        "--verbosity",
        "--settings",
        "--pythonpath",
        "--no-color",
        "--force-color",
    }

    def add_base_argument(self, parser: CommandParser, *args: Any, **kwargs: Any) -> None:
        # Django has no setting for the parser's class, and this is called before
        # `add_arguments`: subparsers made there take the class of their parent.
        parser.__class__ = Parser
        super().add_base_argument(parser, *args, **kwargs)

    def run_from_argv(self, argv: list[str]) -> None:
        try:
            super().run_from_argv(argv)
            sys.stdout.flush()
        except KeyboardInterrupt:
            sys.exit(130)
        except Error as exc:  # of an argument: Django handles only what `execute` raises
            if "--traceback" in argv:
                raise
            sys.stderr.write(f"Error: {visible(exc)}\n")
            sys.exit(exc.returncode)
        except BrokenPipeError:
            # Python flushes standard output once more at its end and would complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except (Error, SystemCheckError):
            raise
        except CommandError as exc:
            raise Error(visible(exc), returncode=exc.returncode) from exc
        except DatabaseProblem as exc:
            raise Error(f"the database: {one_line(exc)}{_hint(exc)}") from exc

    def confirm(self, question: str, *, yes: bool) -> None:
        """Go on only if ``--yes`` was given or a person says so.

        Raises:
            Error: nobody can be asked, or the answer is no.
        """
        if yes:
            return
        if not sys.stdin.isatty():
            raise Error("nobody can be asked here: confirm with --yes")
        try:
            answer = input(f"{visible(question)} [y/N] ")
        except EOFError:
            answer = ""
        if answer.strip().lower() not in {"y", "yes"}:
            raise Error("nothing was changed")

    def say(self, line: str) -> None:
        """Print one line that may repeat what somebody typed or sent."""
        self.stdout.write(visible(line))

    @property
    def console(self) -> Console:
        """A console on the command's output that takes text as it is: no markup, no emoji."""
        # The stream itself: Django's wrapper of it would end every piece with a new line.
        target: Any = getattr(self.stdout, "_out", self.stdout)
        fixed = None if self.stdout.isatty() or "COLUMNS" in os.environ else WIDTH_WITHOUT_TERMINAL
        return Console(file=target, width=fixed, markup=False, emoji=False, highlight=False)

    def write_table(self, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
        """Print a table; a column whose title ends in ``>`` is aligned to the right."""
        titles = list(columns)
        table = Table(box=None, pad_edge=False, header_style="bold", show_header=any(titles))
        for title in titles:
            right = title.endswith(">")
            table.add_column(title.rstrip(">"), justify="right" if right else "left")
        for row in rows:
            table.add_row(*(visible(cell) for cell in row))
        self.console.print(table)

    def write_json(self, value: Any) -> None:
        """Print one JSON value on one line. Decimals become strings, times ISO 8601 in UTC."""
        self.stdout.write(json.dumps(value, default=_jsonable))


def add_json_option(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def visible(value: object) -> str:
    """Text with every character that could steer a terminal as its escape, e.g. ``\\x1b``."""
    return _UNSAFE.sub(lambda match: ascii(match[0])[1:-1], str(value))


def one_line(error: BaseException) -> str:
    """An error's first line; its class where it says nothing."""
    return visible(str(error).strip().partition("\n")[0]) or type(error).__name__


def _hint(error: DatabaseProblem) -> str:
    missing = ("no such table", "does not exist", "ORA-00942")
    unmigrated = any(sign in str(error) for sign in missing)
    return " (run the migrate command first?)" if unmigrated else ""


def _jsonable(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    raise TypeError(f"{type(value).__name__} has no JSON form")
