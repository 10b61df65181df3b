"""Generated secrets of many kinds, and bodies that hide them in every place."""

import base64
import json
import random
import string
from collections.abc import Callable
from urllib.parse import quote

ALNUM = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
URLSAFE = ALNUM + "-_"
B64 = ALNUM + "+/"


def _some(random_: random.Random, alphabet: str, length: int) -> str:
    return "".join(random_.choice(alphabet) for _ in range(length))


def luhn(prefix: str, length: int, random_: random.Random) -> str:
    """A number with this prefix and a right check digit."""
    digits = prefix + _some(random_, string.digits, length - len(prefix) - 1)
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return digits + str(-total % 10)


def _jwt(r: random.Random) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = {"sub": _some(r, string.digits, 10), "admin": True}
    return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}.{_some(r, URLSAFE, 43)}"


def _pem(r: random.Random) -> str:
    body = "\n".join(_some(r, B64, 64) for _ in range(12))
    kind = r.choice(["RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY"])
    return f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----"


def _grouped(number: str, sign: str) -> str:
    return sign.join(number[i : i + 4] for i in range(0, len(number), 4))


Make = Callable[[random.Random], str]

KINDS: dict[str, Make] = {
    "openai legacy": lambda r: "sk-" + _some(r, ALNUM, 48),
    "openai project": lambda r: "sk-proj-" + _some(r, URLSAFE, 120) + "a",
    "openai service": lambda r: "sk-svcacct-" + _some(r, URLSAFE, 60) + "a",
    "anthropic": lambda r: "sk-ant-api03-" + _some(r, URLSAFE, 93) + "AA",
    "anthropic admin": lambda r: "sk-ant-admin01-" + _some(r, URLSAFE, 93) + "AA",
    "openrouter": lambda r: "sk-or-v1-" + _some(r, HEX, 64),
    "deepseek": lambda r: "sk-" + _some(r, HEX, 32),
    "z.ai": lambda r: _some(r, HEX, 32) + "." + _some(r, ALNUM, 16),
    "groq": lambda r: "gsk_" + _some(r, ALNUM, 52),
    "xai": lambda r: "xai-" + _some(r, ALNUM, 80),
    "perplexity": lambda r: "pplx-" + _some(r, ALNUM, 48),
    "nvidia": lambda r: "nvapi-" + _some(r, URLSAFE, 60) + "x",
    "google": lambda r: "AIza" + _some(r, URLSAFE, 34) + "x",
    "google oauth": lambda r: "ya29." + _some(r, URLSAFE, 60) + "x",
    "google client": lambda r: "GOCSPX-" + _some(r, URLSAFE, 27) + "x",
    "aws": lambda r: "AKIA" + _some(r, string.ascii_uppercase + "234567", 16),
    "aws temporary": lambda r: "ASIA" + _some(r, string.ascii_uppercase + "234567", 16),
    "azure storage": lambda r: _some(r, B64, 86) + "==",
    "azure openai": lambda r: _some(r, ALNUM, 52) + "JQQJ99" + _some(r, ALNUM, 26),
    "github": lambda r: "gh" + r.choice("pousr") + "_" + _some(r, ALNUM, 36),
    "github fine-grained": lambda r: (
        "github_pat_" + _some(r, ALNUM, 22) + "_" + _some(r, ALNUM, 59)
    ),
    "gitlab": lambda r: "glpat-" + _some(r, URLSAFE, 19) + "x",
    "slack": lambda r: f"xoxb-{_some(r, string.digits, 12)}-{_some(r, ALNUM, 24)}",
    "stripe": lambda r: "sk_live_" + _some(r, ALNUM, 24),
    "stripe restricted": lambda r: "rk_test_" + _some(r, ALNUM, 24),
    "stripe webhook": lambda r: "whsec_" + _some(r, ALNUM, 32),
    "hugging face": lambda r: "hf_" + _some(r, ALNUM, 34),
    "twilio": lambda r: "SK" + _some(r, HEX, 32),
    "sendgrid": lambda r: f"SG.{_some(r, URLSAFE, 21)}x.{_some(r, URLSAFE, 42)}x",
    "npm": lambda r: "npm_" + _some(r, ALNUM, 36),
    "pypi": lambda r: "pypi-AgEIcHlwaS5vcmc" + _some(r, URLSAFE, 120) + "x",
    "replicate": lambda r: "r8_" + _some(r, ALNUM, 37),
    "databricks": lambda r: "dapi" + _some(r, HEX, 32),
    "digitalocean": lambda r: "dop_v1_" + _some(r, HEX, 64),
    "docker": lambda r: "dckr_pat_" + _some(r, ALNUM, 27),
    "grafana": lambda r: f"glsa_{_some(r, ALNUM, 32)}_{_some(r, HEX, 8)}",
    "telegram": lambda r: _some(r, "123456789", 9) + ":AA" + _some(r, URLSAFE, 32) + "x",
    "vault": lambda r: "hvs." + _some(r, ALNUM, 90),
    "jwt": _jwt,
    "bearer": lambda r: "Bearer " + _some(r, ALNUM, 39) + "7",
    "private key": _pem,
    "e-mail": lambda r: (
        f"{_some(r, string.ascii_lowercase, 8)}.{_some(r, string.ascii_lowercase, 5)}"
        f"@{_some(r, string.ascii_lowercase, 9)}.{r.choice(['com', 'org', 'co.uk', 'de'])}"
    ),
    "e-mail tagged": lambda r: (
        f"{_some(r, ALNUM, 6)}+{_some(r, ALNUM, 4)}@mail-{_some(r, HEX, 4)}.example.io"
    ),
    "visa": lambda r: luhn("4", 16, r),
    "visa grouped": lambda r: _grouped(luhn("4", 16, r), " "),
    "mastercard": lambda r: _grouped(luhn(str(r.randint(51, 55)), 16, r), "-"),
    "amex": lambda r: luhn("37", 15, r),
    "database url": lambda r: f"postgres://app:{_some(r, ALNUM, 16)}@db.internal:5432/shop",
    "redis url": lambda r: f"redis://:{_some(r, ALNUM, 24)}@cache:6379/0",
    "aws secret": lambda r: f"AWS_SECRET_ACCESS_KEY={_some(r, B64, 40)}",
    "basic": lambda r: "Basic " + base64.b64encode(f"user:{_some(r, ALNUM, 12)}".encode()).decode(),
    "environment": lambda r: f"DB_PASSWORD={_some(r, ALNUM, 14)}",
}


def sensitive(kind: str, made: str) -> str:
    """The part of a generated text that must not be stored."""
    if kind in ("database url", "redis url"):
        return made.partition("//")[2].partition(":")[2].partition("@")[0]
    if kind in ("aws secret", "environment"):
        return made.partition("=")[2]
    if kind in ("bearer", "basic"):
        return made.partition(" ")[2]
    if kind == "private key":
        return made.split("\n")[1]
    return made


def corpus(number: int, seed: int = 1) -> list[tuple[str, str]]:
    """Kind and text of ``number`` secrets, all kinds in turn."""
    random_ = random.Random(seed)
    kinds = list(KINDS)
    return [(kind, KINDS[kind](random_)) for kind in (kinds[i % len(kinds)] for i in range(number))]


def _chat(content: object) -> dict:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": content}]}


def _escaped(text: str) -> str:
    """As JSON that spells every other character as an escape, and slashes too."""
    out = []
    for place, sign in enumerate(text):
        if sign == "/":
            out.append("\\/")
        elif place % 2 or sign in '"\\\n':
            out.append(f"\\u{ord(sign):04x}")
        else:
            out.append(sign)
    return "".join(out)


def _call(arguments: str) -> str:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return json.dumps({"messages": [{"role": "assistant", "tool_calls": [call]}]})


Place = Callable[[str], str]

PLACES: dict[str, Place] = {
    "text": lambda s: json.dumps(_chat(f"use {s} please")),
    "alone": lambda s: json.dumps(_chat(s)),
    "system prompt": lambda s: json.dumps({"system": [{"type": "text", "text": f"Key:\n{s}\n"}]}),
    "nested parts": lambda s: json.dumps(
        _chat([{"type": "tool_result", "content": [{"type": "text", "text": f"<{s}>"}]}])
    ),
    "tool arguments": lambda s: _call(json.dumps({"q": f"({s})"})),
    "tool arguments, twice": lambda s: _call(json.dumps({"body": json.dumps({"x": [s]})})),
    "tool input": lambda s: json.dumps(
        {"content": [{"type": "tool_use", "input": {"a": {"b": s}}}]}
    ),
    "member name": lambda s: json.dumps({"metadata": {s: 1}}),
    "after unicode": lambda s: json.dumps(_chat(f"ключ «{s}» 鍵：{s}。")),
    "after unicode, unescaped": lambda s: json.dumps(_chat(f"é{s}é"), ensure_ascii=False),
    "query": lambda s: json.dumps(_chat(f"GET https://x.example/?a=1&q={quote(s, safe='')}&b=2")),
    "header text": lambda s: json.dumps(_chat(f"POST / HTTP/1.1\r\nX-Thing: {s}\r\n\r\n")),
    "escapes": lambda s: '{"messages":[{"role":"user","content":"a ' + _escaped(s) + ' b"}]}',
    "escapes in broken JSON": lambda s: '{"messages":[{"content":"a ' + _escaped(s) + ' b"}',
    "broken JSON": lambda s: json.dumps(_chat(f"a {s} b"))[:-3],
    "broken tool arguments": lambda s: _call(json.dumps({"q": f" {s} "})[:-1]),
    "broken arguments, escaped": lambda s: _call('{"q": "' + _escaped(s) + '"'),
    "lines": lambda s: json.dumps({"a": 1}) + "\n" + json.dumps({"b": f"x {s} y"}) + "\n",
    "source code": lambda s: json.dumps(_chat("print(" + json.dumps(f"line\n{s}\n") + ")")),
    "a member twice": lambda s: '{"x": ' + json.dumps(s) + ', "x": "harmless"}',
    "no JSON": lambda s: f"just {s}\nand more",
}
