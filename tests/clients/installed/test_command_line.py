"""curl, Claude Code and Codex CLI, each by its block of docs/clients.md.

The two agents only ever stream. The fake provider calls the first tool that it is offered, so
they ask at least twice: each of these requests must have its row.
"""

import json
import shutil
from pathlib import Path

import pytest

from tests.clients.installed import versions
from tests.clients.installed.environments import Home, with_node
from tests.clients.installed.watching import Watched

pytestmark = [pytest.mark.slow, pytest.mark.clients]


@pytest.fixture
def curl(tmp_path: Path) -> Home:
    program = shutil.which("curl")
    if program is None:
        pytest.skip("no curl here")
    return Home(tmp_path, Path(program).parent)


@pytest.fixture(scope="module")
def claude_code(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return with_node(tmp_path_factory.mktemp("claude"), versions.CLAUDE_CODE)


@pytest.fixture(scope="module")
def codex(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return with_node(tmp_path_factory.mktemp("codex"), versions.CODEX)


def test_curl_gets_its_answer_and_a_row(curl: Home, watched: Watched) -> None:
    def run(text: str) -> str:
        answer = json.loads(curl.run(["bash", "-c", text]))
        return str(answer["choices"][0]["message"]["content"])

    watched.asks_once("curl", run, stream=False)


def test_curl_streams(curl: Home, watched: Watched) -> None:
    def run(text: str) -> str:
        text = text.replace("curl -sS", "curl -sS -N").replace(
            '{"model"', '{"stream": true, "model"'
        )
        lines = curl.run(["bash", "-c", text]).splitlines()
        data = [line.removeprefix("data: ") for line in lines if line]
        assert data[-1] == "[DONE]"
        chunks = [json.loads(line) for line in data[:-1]]
        return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)

    watched.asks_once("curl", run, stream=True)


# Nothing but the answers is to be fetched in a test.
QUIET = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}


def test_claude_code_answers_and_each_request_has_a_row(
    claude_code: Home, watched: Watched
) -> None:
    asked = watched.asks(
        "Claude Code", lambda text: claude_code.run(["bash", "-c", text], QUIET), stream=True
    )
    assert {request.path for request in asked.seen} == {"/v1/messages"}
    assert asked.seen[0].header("x-api-key") == "sk-ant-made-up"


def test_claude_code_sends_several_headers(claude_code: Home, watched: Watched) -> None:
    def run(text: str) -> str:
        before, _, rest = text.partition('HEADERS="')
        header, _, after = rest.partition('"')
        both = f"{before}HEADERS=$'{header}\\nX-TokenWatch-Tag: refactoring'{after}"
        return claude_code.run(["bash", "-c", both], QUIET)

    asked = watched.asks("Claude Code", run, stream=True)
    assert {row["feature_tag"] for row in asked.rows} == {"refactoring"}


def test_codex_answers_and_each_request_has_a_row(codex: Home, watched: Watched) -> None:
    settings = codex.directory / ".codex"
    settings.mkdir(exist_ok=True)

    def run(text: str) -> str:
        more = 'env_http_headers = { "X-TokenWatch-Session" = "MY_SESSION" }\n'
        (settings / "config.toml").write_text(f'model = "gpt-5"\n{text}{more}')
        command = ["codex", "exec", "--skip-git-repo-check", "hi"]
        return codex.run(command, {"MY_SESSION": "ticket-4711"})

    asked = watched.asks("Codex CLI", run, stream=True)
    assert {request.path for request in asked.seen} == {"/v1/responses"}
    assert asked.seen[0].header("authorization") == "Bearer sk-made-up"
    assert {row["session_id"] for row in asked.rows} == {"ticket-4711"}
