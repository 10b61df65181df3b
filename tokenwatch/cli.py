"""``tokenwatch X``: the project's commands under their own name, with hyphens.

``tokenwatch explain-request …`` is ``manage.py explain_request …``; Django's own commands
(``migrate``, ``createsuperuser``) pass through. Without arguments it lists the project's
commands, not Django's fifty. How it fails: a setting that is wrong, a command that does
not exist, and a database that does not answer end it with exit status 1 and one line.
"""

import difflib
import os
import sys
from collections.abc import Sequence

import django
from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line, get_commands, load_command_class
from django.db import Error as DatabaseProblem

from tokenwatch.commands import one_line

OWN_APPS = (
    "tokenwatch",
    "upstreams",
    "usage",
    "budgets",
    "access",
    "routing",
    "experiments",
    "cache",
    "proxy",
    "dashboard",
)
"""The apps whose commands are listed, in the order of docs/architecture.md."""

HELP = {"help", "-h", "--help"}
_INDENT = 18


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:], prog="tokenwatch"))


def run(args: Sequence[str], *, prog: str) -> int:
    """Run one command line without the program's name; returns the exit status.

    A command that ends with a status of its own raises SystemExit, as under Django.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tokenwatch.settings")
    try:
        django.setup()
    except ImproperlyConfigured as exc:
        return _refuse(str(exc))
    if not args or (args[0] in HELP and len(args) == 1):
        sys.stdout.write(overview(prog))
        return 0
    name, rest = args[0], list(args[1:])
    if name in HELP:
        name, rest = rest[0], ["--help"]
    name = name.replace("-", "_")
    if name not in get_commands():
        return _refuse(_unknown(args[0] if args[0] not in HELP else args[1], own_commands(), prog))
    try:
        execute_from_command_line([prog, name, *rest])
    except DatabaseProblem as exc:  # only Django's own commands let it out
        if "--traceback" in rest:
            raise
        return _refuse(f"the database: {one_line(exc)}")
    return 0


def own_commands() -> list[str]:
    """Names of the project's commands, with underscores, in alphabetical order."""
    return sorted(
        name for name, app in get_commands().items() if str(app).split(".")[0] in OWN_APPS
    )


def overview(prog: str) -> str:
    """The project's commands with one line each, as text."""
    apps = get_commands()
    lines = []
    for name in own_commands():
        title = load_command_class(str(apps[name]), name).help.strip().partition("\n")[0]
        lines.append(f"  {name.replace('_', '-'):<{_INDENT}}{title}")
    return (
        f"Usage: {prog} COMMAND [options]\n\nCommands:\n"
        + "\n".join(lines)
        + f"\n\n`{prog} COMMAND --help` tells more. Django's commands (migrate,\n"
        "createsuperuser, changepassword) work too.\n"
    )


def _unknown(name: str, known: Sequence[str], prog: str) -> str:
    hyphenated = [command.replace("_", "-") for command in known]
    close = difflib.get_close_matches(name.replace("_", "-"), hyphenated, n=1)
    hint = f"did you mean {close[0]}?" if close else f"`{prog} help` lists the commands"
    return f"unknown command {name!r}: {hint}"


def _refuse(line: str) -> int:
    sys.stderr.write(f"Error: {line}\n")
    return 1


if __name__ == "__main__":
    main()
