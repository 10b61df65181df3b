"""The redactor: no secret passes, whatever it hides in, and nothing else changes."""

import base64
import json
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from experiments.redaction import DEEPEST_JSON, redact_body, redact_json, redact_text
from experiments.secret_names import is_secret_name
from experiments.unescaping import views
from tests.experiments.secrets import KINDS, PLACES, corpus, luhn, sensitive

CORPUS = corpus(260)


def stored(body: str) -> list[str]:
    """What is stored of a body, and what it says without its escapes."""
    text = redact_body(body.encode("utf-8", "surrogatepass")).text
    return [text, *(view.decode("utf-8", "replace") for view, _ in views(text.encode()))]


@pytest.mark.parametrize("place", PLACES)
def test_of_260_secrets_none_is_stored(place):
    kept = []
    for kind, secret in CORPUS:
        for text in stored(PLACES[place](secret)):
            if sensitive(kind, secret) in text:
                kept.append((kind, secret, text))
    assert kept == []


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**32), place=st.sampled_from(sorted(PLACES)))
def test_secrets_of_every_kind_in_every_place(kind, seed, place):
    secret = KINDS[kind](random.Random(seed))
    assert not any(sensitive(kind, secret) in text for text in stored(PLACES[place](secret)))


@given(st.emails(), st.sampled_from(["alone", "text", "tool arguments", "no JSON"]))
def test_addresses(address, place):
    assert not any(address in text for text in stored(PLACES[place](address)))


@given(
    st.sampled_from(["4", "51", "2221", "2720", "34", "6011", "3528", "62"]),
    st.sampled_from(["", " ", "-"]),
    st.integers(0, 2**32),
)
def test_card_numbers_with_a_right_check_digit_only(prefix, sign, seed):
    random_ = random.Random(seed)
    right = luhn(prefix, 15 if prefix == "34" else 16, random_)
    wrong = right[:-1] + str((int(right[-1]) + random_.randint(1, 9)) % 10)

    def spelled(number):
        return sign.join([number[:4], number[4:8], number[8:12], number[12:]])

    if prefix == "34" and sign:

        def spelled(number):
            return sign.join([number[:4], number[4:10], number[10:]])

    assert redact_text(f"card {spelled(right)} ok") == "card [REDACTED:card] ok"
    assert redact_text(f"card {spelled(wrong)} ok") == f"card {spelled(wrong)} ok"


@pytest.mark.parametrize(
    "kind", ["anthropic", "openai project", "github", "slack", "stripe", "npm"]
)
def test_the_longest_forms_are_found_right_behind_a_letter(kind):
    secret = KINDS[kind](random.Random(3))
    assert secret not in redact_text(f"key{secret} and x_{secret}")


def test_two_cards_with_one_space_between_them():
    assert redact_text("4111111111111111 4111111111111111") == "[REDACTED:card] [REDACTED:card]"
    assert redact_json({"number": 4111111111111111}) == {"number": "[REDACTED:card]"}


ORDINARY = [
    "The quick brown fox, 3.14159 and 42; see https://example.com/a?b=c#d.",
    "commit 5f2d3c1e9b8a7d6c5b4a39281706f5e4d3c2b1a0 and 550e8400-e29b-41d4-a716-446655440000",
    "order 1234567890123456, phone +49 30 1234567, 2024 2025 2026 2027, 1700000000000",
    "0.4539578103543872 -0.5111111111111111 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
    "pip install sk-learn; task-force; risk-management-and-control-of-systems-in-practice",
    "max_tokens=1024, token_count: 5, the tokenizer, pad_token: '<pad>', eos_token = \"</s>\"",
    "password: please enter your password. The token: a piece of text. Secret: none yet",
    "def login(password: str, token: str = None): token = get_token2(password)",
    "client = OpenAI(api_key=os.environ['OPENAI_API_KEY'])\nkey = settings.api_key\n",
    "export OPENAI_API_KEY=$KEY; password=${PASSWORD}; token: uint64; secret: bytes32",
    "Basic understanding of bearer bonds; basic internationalization; Basic training",
    "authorization: required for this; the bearer of good news",
    "@decorator\n@types/node icon@2x.png a@b list[str] 'C:\\new\\test' 100%20 50%",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "openssl prints -----BEGIN PRIVATE KEY----- at the top",
    "iVBORw0KGgo",
    "[REDACTED:email]",
    "",
    "日本語のテキスト。émoji 😀 \u2028",
    "SELECT * FROM keys WHERE key = 'value' -- AKIA is a prefix, sk- too, hf_ and npm_",
    "postgres://localhost:5432/db https://host:8080/path@v1.2 git@ssh",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_untouched(text):
    assert redact_text(text) == text
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}, indent=1)
    found = redact_body(body)
    assert (found.text, sum(found.found.values()), found.media) == (body, 0, 0)


# Words and signs that can make up no secret: no @, no digits in long runs, no names with values.
PLAIN = st.text(
    st.characters(exclude_characters="@:=\\%", exclude_categories=["Cs", "Nd"]), max_size=200
).filter(lambda text: not any(mark in text.lower() for mark in ("sk-", "bearer", "basic", "----")))


@given(PLAIN)
@example("a\x00b")
def test_text_without_such_forms_passes_byte_for_byte(text):
    assert redact_text(text) == text
    body = json.dumps({"input": text, "n": [1, 2.5, None, True]}, ensure_ascii=False, indent=2)
    assert redact_body(body).text == body


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_redacting_again_changes_nothing(value):
    once = redact_json(value)
    assert redact_json(once) == once


@given(st.binary(max_size=300))
def test_no_bytes_make_it_raise(body):
    once = redact_body(body).text
    assert redact_body(once).text == once


def test_members_named_like_secrets():
    body = {
        "password": "open sesame",
        "apiKey": "x",
        "db": {"user": "u", "DB_PASS": "p", "credentials": ["a", {"b": "c"}]},
        "headers": [{"name": "Authorization", "value": "opaque"}],
        "authorization": "plain words here",
        "max_tokens": 5,
        "token_count": 7,
        "tokenizer": "cl100k",
        "stop_token": "END",
        "secret": "",
        "token": None,
        "logprobs": [{"token": "Hello", "logprob": -0.1, "top_logprobs": []}],
        "properties": {"password": {"type": "string", "description": "at least 8 signs"}},
    }
    hidden = "[REDACTED:secret]"
    changed = redact_json(body)
    assert changed["password"] == changed["apiKey"] == changed["authorization"] == hidden
    assert changed["db"] == {
        "user": "u",
        "DB_PASS": hidden,
        "credentials": [hidden, {"b": hidden}],
    }
    assert changed["headers"] == [{"name": "Authorization", "value": hidden}]
    for name in ("max_tokens", "token_count", "tokenizer", "stop_token", "secret", "token"):
        assert changed[name] == body[name]
    assert changed["logprobs"] == body["logprobs"]
    assert changed["properties"] == body["properties"]


@pytest.mark.parametrize(
    "text",
    [
        '{"password": "open sesame", "x": ',
        '{\\"api_key\\": \\"open sesame\\"}',
        "curl -H 'X-Api-Key: opensesame'",
        "https://h/?access_token=opensesame&x=1",
        "Server=db;Password=opensesame;Encrypt=1",
        "--token=opensesame",
        "MY_SECRET=opensesame",
        "cookie: sid=opensesame; b=2",
        "password: 'opensesame'",
        "https://u:opensesame@host/x",
        "mongodb+srv://u:p/w@opensesame@host/x",
    ],
)
def test_secrets_that_only_their_name_gives_away(text):
    for place in ("alone", "no JSON", "tool arguments"):
        kept = stored(PLACES[place](text))
        assert not any("opensesame" in t or "open sesame" in t for t in kept)


@pytest.mark.parametrize(
    "name",
    [
        "apiKey",
        "API_KEY",
        "x-api-key",
        "clientSecret",
        "DB_PASSWORD2",
        "refresh_token",
        "accesstoken",
        "AWSSecretAccessKey",
        "token",
        "private key",
        "Set-Cookie",
        "passwords",
    ],
)
def test_names_of_secrets(name):
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "max_tokens",
        "token_count",
        "tokenizer",
        "tokens",
        "key",
        "",
        "keyboard",
        "total_tokens",
        "next_page_token",
        "author",
        "1",
        "secretary",
        "bypass",
        "prompt_cache_key",
        "passport",
    ],
)
def test_names_of_other_things(name):
    assert not is_secret_name(name)


PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(200)).decode()


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        {"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}},
        {"type": "input_file", "file_data": PNG},
        {"b64_json": PNG},
        {"type": "image_generation_call", "result": PNG},
        {"text": f"see ![x](data:image/png;base64,{PNG}) there"},
        {"arguments": json.dumps({"picture": PNG})},
    ],
)
@pytest.mark.parametrize("secrets", [True, False])
def test_images_and_audio_become_their_hash(part, secrets):
    found = redact_body(json.dumps({"content": [part, "Ms. x@y.example"]}), secrets=secrets)
    assert PNG not in found.text
    assert "sha256:" in found.text
    assert "208 bytes" in found.text
    assert found.media == 1
    assert ("x@y.example" in found.text) is not secrets


def test_what_is_nested_too_deep_is_taken_out():
    text = "sk-" + "a1" * 20
    for _ in range(DEEPEST_JSON + 6):
        text = json.dumps({"x": text})
    assert "a1a1" not in redact_text(text)
    deep = "[" * 400 + '"bob@example.com"' + "]" * 400
    assert "bob" not in redact_text(deep)
    assert "bob" not in redact_text("[" * 100_000 + '"bob@example.com"')


def test_names_that_become_one_are_both_kept():
    changed = redact_json({"a@b.example": 1, "c@d.example": 2})
    assert changed == {"[REDACTED:email]": 1, "[REDACTED:email]#2": 2}


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "sk-",
        "-----BEGIN PRIVATE KEY-----",
        "password:",
        '"token": ',
        "\\u0041",
        "eyJaaaaaaaaaa.",
        "4111 ",
        "{",
        "data:image/png;base64,",
        "x@",
        "://a:",
        "%2",
    ],
)
def test_a_megabyte_of_what_could_be_secrets_is_read_in_linear_time(piece):
    """Anything that grew with the square of the length would not come to its end here."""
    redact_text(piece * (1_000_000 // len(piece)))
