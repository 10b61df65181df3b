"""Python clients in virtual environments, each set up by its block of docs/clients.md."""

import pytest

from tests.clients.installed import versions
from tests.clients.installed.environments import Home, with_python
from tests.clients.installed.pages import block, pointed
from tests.clients.installed.watching import Watched

pytestmark = [pytest.mark.slow, pytest.mark.clients]


def home(packages: tuple[str, ...]):
    @pytest.fixture(scope="module")
    def installed(tmp_path_factory: pytest.TempPathFactory) -> Home:
        return with_python(tmp_path_factory.mktemp("python"), packages)

    return installed


sdks = home(versions.SDKS)
langchain = home(versions.LANGCHAIN)
llama_index = home(versions.LLAMA_INDEX)
litellm = home(versions.LITELLM)

ASK = '[{"role": "user", "content": "Hello"}]'

OPENAI = f"""
print(client.chat.completions.create(
    model="gpt-4o-mini", messages={ASK}
).choices[0].message.content)
"""
OPENAI_STREAM = f"""
for chunk in client.chat.completions.create(
    model="gpt-4o-mini", messages={ASK}, stream=True
):
    print(chunk.choices[0].delta.content or "", end="")
"""
ANTHROPIC = f"""
print(client.messages.create(
    model="claude-sonnet-4-5", max_tokens=200, messages={ASK}
).content[0].text)
"""
ANTHROPIC_STREAM = f"""
with client.messages.stream(
    model="claude-sonnet-4-5", max_tokens=200, messages={ASK}
) as stream:
    for text in stream.text_stream:
        print(text, end="")
"""
LANGCHAIN = """
print(model.invoke("Hello").content)
"""
LANGCHAIN_STREAM = """
for chunk in model.stream("Hello"):
    print(chunk.text if isinstance(chunk.text, str) else chunk.text(), end="")
"""
LLAMA_INDEX = """
from llama_index.core.llms import ChatMessage
print(llm.chat([ChatMessage(role="user", content="Hello")]).message.content)
"""
LLAMA_INDEX_STREAM = """
from llama_index.core.llms import ChatMessage
for chunk in llm.stream_chat([ChatMessage(role="user", content="Hello")]):
    print(chunk.delta or "", end="")
"""
CASES = [
    ("sdks", "OpenAI SDK, Python", OPENAI, OPENAI_STREAM),
    ("sdks", "Anthropic SDK, Python", ANTHROPIC, ANTHROPIC_STREAM),
    ("langchain", "LangChain, OpenAI", LANGCHAIN, LANGCHAIN_STREAM),
    ("langchain", "LangChain, Anthropic", LANGCHAIN, LANGCHAIN_STREAM),
    ("llama_index", "LlamaIndex, OpenAI", LLAMA_INDEX, LLAMA_INDEX_STREAM),
    ("llama_index", "LlamaIndex, OpenAI-like", LLAMA_INDEX, LLAMA_INDEX_STREAM),
    ("llama_index", "LlamaIndex, Anthropic", LLAMA_INDEX, LLAMA_INDEX_STREAM),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("where", "heading", "whole", "streamed"), CASES, ids=lambda text: text)
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
        lambda text: installed.script("python", "ask.py", text + asking),
        stream=stream,
    )


SESSION = 'extra_headers={"X-TokenWatch-Session": "ticket-4711"}'
SESSION_CASES = [
    ("sdks", "OpenAI SDK, Python", OPENAI.replace("model=", f"{SESSION}, model=")),
    ("sdks", "Anthropic SDK, Python", ANTHROPIC.replace("model=", f"{SESSION}, model=")),
    ("langchain", "LangChain, OpenAI", LANGCHAIN.replace('"Hello"', f'"Hello", {SESSION}')),
]


@pytest.mark.parametrize(
    ("where", "heading", "asking"), SESSION_CASES, ids=["openai", "anthropic", "langchain"]
)
def test_one_request_can_name_its_session(
    request: pytest.FixtureRequest, watched: Watched, where: str, heading: str, asking: str
) -> None:
    installed: Home = request.getfixturevalue(where)
    row = watched.asks_once(
        heading, lambda text: installed.script("python", "ask.py", text + asking), stream=False
    )
    assert row["session_id"] == "ticket-4711"


# Its list of prices is in the package; without this it asks a web host for a newer one.
OFFLINE = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
LITELLM_STREAM = """
for chunk in completion(
    model="openai/gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}], stream=True, **through
):
    print(chunk.choices[0].delta.content or "", end="")
"""


@pytest.mark.parametrize("model", ["openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5"])
def test_litellm_gets_its_answer_and_a_row(litellm: Home, watched: Watched, model: str) -> None:
    def run(text: str) -> str:
        if model.startswith("anthropic"):
            text = text.replace("openai/gpt-4o-mini", model).replace("/openai/v1", "/anthropic")
        text += "print(answer.choices[0].message.content)\n"
        return litellm.script("python", "ask.py", text, **OFFLINE)

    watched.asks_once("LiteLLM SDK", run, stream=False)


def test_litellm_streams(litellm: Home, watched: Watched) -> None:
    def run(text: str) -> str:
        setup = text.partition("answer = ")[0]
        return litellm.script("python", "ask.py", setup + LITELLM_STREAM, **OFFLINE)

    watched.asks_once("LiteLLM SDK", run, stream=True)


@pytest.mark.parametrize(
    ("app", "script"),
    [
        ("OpenAI", f"from openai import OpenAI as Client\nclient = Client(){OPENAI}"),
        ("Anthropic", f"from anthropic import Anthropic as Client\nclient = Client(){ANTHROPIC}"),
    ],
)
def test_the_environment_alone_is_enough(
    sdks: Home, watched: Watched, app: str, script: str
) -> None:
    exports = pointed(block("Without touching code"), watched.url, app)
    (sdks.directory / "ask.py").write_text(script)
    asked = watched.accounted(
        app, lambda: sdks.run(["bash", "-c", f"{exports}python ask.py"]), stream=False
    )
    assert len(asked.rows) == 1
