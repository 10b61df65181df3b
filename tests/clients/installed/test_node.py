"""Node clients in a node_modules, each set up by its block of docs/clients.md."""

import pytest

from tests.clients.installed import versions
from tests.clients.installed.environments import Home, with_node
from tests.clients.installed.pages import block, pointed
from tests.clients.installed.watching import Watched

pytestmark = [pytest.mark.slow, pytest.mark.clients]


@pytest.fixture(scope="module")
def sdks(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return with_node(tmp_path_factory.mktemp("node"), versions.NODE_SDKS)


@pytest.fixture(scope="module")
def vercel(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return with_node(tmp_path_factory.mktemp("vercel"), versions.VERCEL)


ASK = '[{ role: "user", content: "Hello" }]'

OPENAI = f"""
const answer = await client.chat.completions.create({{ model: "gpt-4o-mini", messages: {ASK} }});
console.log(answer.choices[0].message.content);
"""
OPENAI_STREAM = f"""
const stream = await client.chat.completions.create({{
  model: "gpt-4o-mini", messages: {ASK}, stream: true,
}});
for await (const chunk of stream) process.stdout.write(chunk.choices[0].delta.content ?? "");
"""
ANTHROPIC = f"""
const answer = await client.messages.create({{
  model: "claude-sonnet-4-5", max_tokens: 200, messages: {ASK},
}});
console.log(answer.content[0].text);
"""
ANTHROPIC_STREAM = f"""
const stream = client.messages.stream({{
  model: "claude-sonnet-4-5", max_tokens: 200, messages: {ASK},
}});
stream.on("text", (text) => process.stdout.write(text));
await stream.finalMessage();
"""


def generate(model: str) -> str:
    return f"""
import {{ generateText }} from "ai";
console.log((await generateText({{ model: {model}, prompt: "Hello" }})).text);
"""


def generate_stream(model: str) -> str:
    return f"""
import {{ streamText }} from "ai";
const stream = streamText({{ model: {model}, prompt: "Hello" }});
for await (const text of stream.textStream) process.stdout.write(text);
"""


def by_vercel(name: str, model: str) -> tuple[str, str, str, str]:
    return "vercel", f"Vercel AI SDK, {name}", generate(model), generate_stream(model)


CASES = [
    ("sdks", "OpenAI SDK, Node", OPENAI, OPENAI_STREAM),
    ("sdks", "Anthropic SDK, Node", ANTHROPIC, ANTHROPIC_STREAM),
    by_vercel("OpenAI", 'openai("gpt-4o-mini")'),
    by_vercel("OpenAI", 'openai.chat("gpt-4o-mini")'),
    by_vercel("Anthropic", 'anthropic("claude-sonnet-4-5")'),
]
IDS = ["openai", "anthropic", "vercel-responses", "vercel-chat", "vercel-anthropic"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("where", "heading", "whole", "streamed"), CASES, ids=IDS)
def test_a_client_of_the_page_gets_its_answer_and_a_row(
    request: pytest.FixtureRequest,
    watched: Watched,
    where: str,
    heading: str,
    whole: str,
    streamed: str,
    stream: bool,
) -> None:
    installed: Home = request.getfixturevalue(where)
    asking = streamed if stream else whole
    watched.asks_once(
        heading,
        lambda text: installed.script("node", "ask.mjs", text + asking),
        stream=stream,
    )


@pytest.mark.parametrize(
    ("app", "script"),
    [
        ("OpenAI", f'import Client from "openai";\nconst client = new Client();{OPENAI}'),
        (
            "Anthropic",
            f'import Client from "@anthropic-ai/sdk";\nconst client = new Client();{ANTHROPIC}',
        ),
    ],
    ids=["openai", "anthropic"],
)
def test_the_environment_alone_is_enough(
    sdks: Home, watched: Watched, app: str, script: str
) -> None:
    exports = pointed(block("Without touching code"), watched.url, app)
    (sdks.directory / "ask.mjs").write_text(script)
    asked = watched.accounted(
        app, lambda: sdks.run(["bash", "-c", f"{exports}node ask.mjs"]), stream=False
    )
    assert len(asked.rows) == 1


SESSION = '{ headers: { "X-TokenWatch-Session": "ticket-4711" } }'


@pytest.mark.parametrize(
    ("where", "heading", "asking"),
    [
        ("sdks", "OpenAI SDK, Node", OPENAI.replace("});", f"}}, {SESSION});", 1)),
        ("sdks", "Anthropic SDK, Node", ANTHROPIC.replace("});", f"}}, {SESSION});", 1)),
        (
            "vercel",
            "Vercel AI SDK, OpenAI",
            generate('openai("gpt-4o-mini")').replace('"Hello"', f'"Hello", {SESSION[2:-2]}'),
        ),
    ],
    ids=["openai", "anthropic", "vercel"],
)
def test_one_request_can_name_its_session(
    request: pytest.FixtureRequest, watched: Watched, where: str, heading: str, asking: str
) -> None:
    installed: Home = request.getfixturevalue(where)
    row = watched.asks_once(
        heading, lambda text: installed.script("node", "ask.mjs", text + asking), stream=False
    )
    assert row["session_id"] == "ticket-4711"
