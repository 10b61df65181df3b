"""The `tokenwatch` command line, as a user meets it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import apps

from tokenwatch import cli
from tokenwatch.conf import BASE_DIR


def test_without_arguments_our_commands_are_listed_with_a_line_each(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run([], prog="tokenwatch") == 0
    listed = capsys.readouterr().out
    for name in ("start", "status", "reset", "upstream", "setup-admin"):
        (line,) = [line for line in listed.splitlines() if line.startswith(f"  {name} ")]
        assert len(line.split()) > 2
    assert "collectstatic" not in listed


@pytest.mark.parametrize("args", [["help"], ["--help"], ["-h"]])
def test_help_is_the_same_list(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(args, prog="tokenwatch") == 0
    assert capsys.readouterr().out == cli.overview("tokenwatch")


def test_every_listed_command_says_what_it_does_in_one_line() -> None:
    lines = cli.overview("tokenwatch").split("Commands:\n")[1].split("\n\n")[0].splitlines()
    assert [line for line in lines if len(line) > 100 or not line.rstrip().endswith(".")] == []


@pytest.mark.parametrize("args", [["help", "upstream"], ["upstream", "--help"]])
def test_help_of_a_command(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.run(args, prog="tokenwatch")
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "usage: tokenwatch upstream" in shown
    assert "--settings" not in shown


@pytest.mark.parametrize("name", ["setup-admin", "setup_admin"])
@pytest.mark.django_db
def test_hyphens_and_underscores_name_the_same_command(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([name], prog="tokenwatch") == 0
    assert "Password" in capsys.readouterr().out


def test_djangos_commands_pass_through(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["diffsettings"], prog="tokenwatch") == 0
    assert "DATABASES" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "hint"),
    [("statuss", "did you mean status?"), ("set-up-admin", "setup-admin"), ("qqq", "help")],
)
def test_an_unknown_command_is_one_line_and_status_1(
    typed: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([typed], prog="tokenwatch") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("Error: ")
    assert hint in captured.err


@pytest.mark.parametrize(
    "args",
    [
        ["upstream"],
        ["upstream", "rename"],
        ["upstream", "add"],
        ["upstream", "add", "x", "--api-type", "smtp", "--base-url", "https://x"],
        ["upstream", "add", "x", "--api-type", "openai", "--base-url", "https://x", "--priority=a"],
        ["status", "--jsn"],
        ["budget", "set", "--limit", "NaN"],
        ["ab", "create", "x", "--split", "abc", "--model-a", "a", "--model-b", "b"],
        ["reset", "now"],
    ],
)
def test_bad_input_is_one_line_and_status_1(
    args: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.run(args, prog="tokenwatch")
    assert ended.value.code == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("Error: ")
    assert captured.err.count("\n") == 1


def test_every_app_of_the_project_is_listed() -> None:
    ours = {c.name for c in apps.get_app_configs() if Path(c.path).parent == BASE_DIR}
    assert ours <= set(cli.OWN_APPS)


def in_a_process(tmp_path: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOKENWATCH_")}
    settings = {"TOKENWATCH_ENV_FILE": "", "TOKENWATCH_DATA_DIR": str(tmp_path)}
    del kept["DJANGO_SETTINGS_MODULE"]
    return subprocess.run(
        [sys.executable, "-m", "tokenwatch.cli", *args],
        cwd=BASE_DIR,
        env={**kept, **settings, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_wrong_setting_is_one_line_and_status_1(tmp_path: Path) -> None:
    done = in_a_process(tmp_path, "status", TOKENWATCH_PROXY_PORT="eighty")
    assert done.returncode == 1
    assert done.stderr == "Error: TOKENWATCH_PROXY_PORT: expected a whole number, got 'eighty'\n"


def test_a_database_without_tables_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    done = in_a_process(tmp_path, "upstream", "list")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "migrate" in done.stderr


def test_a_reader_that_goes_away_ends_a_command_quietly(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("TOKENWATCH_")}
        done = subprocess.run(
            [sys.executable, "-m", "tokenwatch.cli", "status", "--json"],
            cwd=BASE_DIR,
            env={**kept, "TOKENWATCH_ENV_FILE": "", "TOKENWATCH_DATA_DIR": str(tmp_path)},
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)
    assert done.returncode == 1
    assert done.stderr == ""


@pytest.mark.parametrize("command", ["migrate", "setup-admin", "stats"])
def test_a_database_that_does_not_answer_is_one_line_and_status_1(
    command: str, tmp_path: Path
) -> None:
    url = "postgres://user:secret@127.0.0.1:1/none"
    done = in_a_process(tmp_path, command, TOKENWATCH_DATABASE_URL=url)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: the database: ")
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr


def test_a_data_directory_that_cannot_be_made_is_one_line_and_status_1(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = in_a_process(tmp_path, "stats", TOKENWATCH_DATA_DIR=str(tmp_path / "file" / "below"))
    assert done.returncode == 1
    assert done.stderr.startswith("Error: TOKENWATCH_DATA_DIR cannot be used: ")
    assert done.stderr.count("\n") == 1
