"""What secrets look like in a text: keys of providers and clouds, and what gives them away.

Pure. The engine is RE2 over bytes, one at a time (Latin-1), so that its time grows with the
text's length alone; where a form is not enough, a check in Python says whether it is one
(a card's check digit, what Basic credentials decode to). No pattern looks for entropy:
hashes, ids and base64 are ordinary text.

Sources of the forms: the providers' documentation of their keys, and the rule sets of GitHub
secret scanning and gitleaks.
"""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Any

from experiments.secret_forms import ANYWHERE, KEYS
from experiments.secret_values import Span, compiled, each, named_values

Check = Callable[[Any], bool]

PEM_BYTES = 64 * 1024
"""A private key ends within so much of its beginning."""

_B = rb"(?:^|[^A-Za-z0-9])"
"""A boundary on the left: RE2 has no look-behind, so it belongs to the match."""

_SEP = rb"(?:[ .-]|\xc2\xa0|\xe2\x80[\x90-\x95\xaf])"
_LABEL = rb"(?:[A-Za-z0-9]|[\xc3-\xdf][\x80-\xbf])(?:[A-Za-z0-9-]|[\xc3-\xdf][\x80-\xbf]){0,62}"
_DOMAIN = (
    rb"@(?:(?:" + _LABEL + rb"\.)+(?:xn--[A-Za-z0-9-]{2,58}|[A-Za-z]{2,24}"
    rb"|(?:[\xc3-\xdf][\x80-\xbf]){2,20})|\[[0-9A-Fa-f.:]{3,45}\])"
)
_ATEXT = rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]"
MARK = re.compile(rb"\[REDACTED:[a-z_]+\]")
_FILES = re.compile(
    rb"\.(?:png|jpe?g|gif|svg|webp|css|s[ac]ss|jsx?|tsx?|json|html?|xml|ya?ml|txt|pdf|woff2?)$",
    re.IGNORECASE,
)
_CARD = re.compile(
    rb"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"
    rb"|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11,16}|35\d{14,17}"
    rb"|6(?:011|4[4-9]\d|5\d\d|2\d\d|0\d\d|[37]\d\d)\d{8,15}|(?:50|5[678])\d{10,17}"
)
"""By issuer: Visa, Mastercard, American Express, Diners, JCB, Discover, UnionPay, Maestro
(ISO/IEC 7812 ranges as the networks publish them). A check digit alone is right for one
number in ten."""


def find(text: bytes) -> list[Span]:
    """Every secret in a text in UTF-8; spans may overlap."""
    spans: list[Span] = []
    if _ANY_KEY.search(text):
        for kind, pattern in _KEYS:
            spans += ((*match.span(1), kind) for match in each(pattern, text))
    for kind, sign, pattern, check in _OTHERS:
        if sign(text):
            spans += ((*match.span(1), kind) for match in each(pattern, text) if check(match))
    if b"-----BEGIN" in text:
        spans += _private_keys(text)
    spans += named_values(text)
    return [span for span in spans if not MARK.fullmatch(text, span[0], span[1])]


# Checks


def is_card(digits: bytes) -> bool:
    """A number of a card network with a right check digit (ISO/IEC 7812-1, annex B)."""
    if not _CARD.fullmatch(digits):
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = digit - 48
        if place % 2:
            value = value * 2 - 9 * (value > 4)
        total += value
    return total % 10 == 0


def _card(match: Any) -> bool:
    start, end = match.span(1)
    text: bytes = match.string
    if text[start - 1 : start] == b"." and text[max(0, start - 2) : start - 1].isdigit():
        return False  # the decimals of a number
    if text[end : end + 1] == b"." and text[end + 1 : end + 2].isdigit():
        return False
    return is_card(bytes(byte for byte in match[1] if 48 <= byte <= 57))


def _bearer(match: Any) -> bool:
    token: bytes = match[1]
    return any(48 <= byte <= 57 for byte in token) or (
        len(token) >= 24 and token.lower() != token and not token.isalpha()
    )


def _basic(match: Any) -> bool:
    """Base64 of ``user:password`` (RFC 7617)."""
    token: bytes = match[1]
    try:
        plain = b64decode(token + b"=" * (-len(token) % 4), validate=True).decode()
    except (Base64Error, UnicodeDecodeError):
        return False
    return ":" in plain and plain.isprintable()


def _address(match: Any) -> bool:
    return not _FILES.search(match[1])


def _with_digit(match: Any) -> bool:
    return any(48 <= byte <= 57 for byte in match[1])


def _always(match: Any) -> bool:
    return True


def _private_keys(text: bytes) -> Iterator[Span]:
    """PEM blocks (RFC 7468) and PGP's; one without an end goes as far as its base64 does."""
    ends = [match.end() for match in _PEM_END.finditer(text)]
    behind = 0
    for match in _PEM_BEGIN.finditer(text):
        start, end = match.span()
        if start < behind:
            continue
        index = bisect_left(ends, end)
        if index < len(ends) and ends[index] - start <= PEM_BYTES:
            behind = ends[index]
        else:
            body = _PEM_BODY.match(text, end)
            behind = body.end() if body else end
            if behind - end < 40:
                continue  # somebody speaks of such a line
        yield start, behind, "private_key"


_KEYS = [(kind, compiled(_B + rb"(" + form + rb")")) for kind, form in KEYS]
_KEYS += [(kind, compiled(rb"(" + form + rb")")) for kind, form in ANYWHERE]
_ANY_KEY = compiled(
    _B
    + rb"(?:"
    + rb"|".join(form for _, form in KEYS)
    + rb")|"
    + rb"|".join(form for _, form in ANYWHERE)
)
_PEM_BEGIN = compiled(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_END = compiled(rb"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_BODY = compiled(rb"[A-Za-z0-9+/=\s:,-]*")


def _has(*signs: bytes) -> Callable[[bytes], bool]:
    return lambda text: any(sign in text for sign in signs)


def _matches(pattern: bytes) -> Callable[[bytes], bool]:
    search = compiled(pattern, fold=True).search
    return lambda text: search(text) is not None


_authorization = _matches(rb"bearer|basic|authorization|apikey|token |cookie")
_secret_key = _matches(rb"secret.{0,20}key|A[KS]IA[A-Z0-9]{16}")
_digits = _matches(rb"[0-9]{4}(?:" + _SEP + rb"?[0-9]){9}")
_OTHERS: list[tuple[str, Callable[[bytes], bool], Any, Check]] = [
    (
        "authorization",
        _authorization,
        compiled(rb"bearer[ \t]+([A-Za-z0-9._~+/=-]{8,})", fold=True),
        _bearer,
    ),
    (
        "authorization",
        _authorization,
        compiled(rb"basic[ \t]+([A-Za-z0-9+/]{8,}={0,2})", fold=True),
        _basic,
    ),
    (
        "authorization",
        _authorization,
        compiled(
            rb"""authorization["']?[ \t]*[:=][ \t]*["']?(?:bearer|basic|token|digest|negotiate"""
            rb"""|ntlm|apikey|key|oauth|hawk|bot)[ \t]+([^\s"',;\\]{4,})""",
            fold=True,
        ),
        _always,
    ),
    (
        "authorization",
        _authorization,
        compiled(
            rb"""(?:^|["'\s])authorization["']?[ \t]*:[ \t]*["']?"""
            rb"""([^\s"',;\\]{8,})(?:$|[\r\n"'])""",
            fold=True,
        ),
        _with_digit,
    ),
    (
        "cookie",
        _authorization,
        compiled(rb"""cookie["']?:[ \t]*["']?([A-Za-z0-9_.%-]+=[^\r\n"']*)""", fold=True),
        _always,
    ),
    (
        "aws_key",
        _secret_key,
        compiled(
            rb"""secret[_ -]?(?:access[_ -]?)?key[^A-Za-z0-9+/]{1,12}([A-Za-z0-9+/]{40})""",
            fold=True,
        ),
        _always,
    ),
    (
        "aws_key",
        _secret_key,
        compiled(rb"""A[KS]IA[A-Z0-9]{16}[^A-Za-z0-9+/]{1,8}([A-Za-z0-9+/]{40})"""),
        _always,
    ),
    (
        "password",
        _has(b"://"),
        compiled(rb"""[A-Za-z]://[^\s/:@"'<>]*:([^\s/"'<>]+)@"""),
        _always,
    ),
    (
        "password",
        _has(b"://"),
        compiled(
            rb"""(?:postgres(?:ql)?|mysql|mariadb|mongodb|rediss?|amqps?|mssql|sqlserver|oracle"""
            rb"""|clickhouse|ldaps?|smtps?|ftps?|sftp|nats|kafka|cockroachdb|snowflake)"""
            rb"""(?:\+[A-Za-z0-9]+)?://[^\s:/@"'<>]*:([^\s"'<>]+)@""",
            fold=True,
        ),
        _always,
    ),
    (
        "password",
        _has(b"://"),
        compiled(rb"""https?://([A-Za-z0-9_.~-]{20,})@"""),
        _with_digit,
    ),
    (
        "signature",
        _has(b"=", b"?", b"&"),
        compiled(
            rb"""[?&;](?:sig|signature|x-amz-signature|x-goog-signature|x-amz-credential|code|key"""
            rb"""|auth|assertion|session|sid)=([^\s"'&<>#;]{16,})""",
            fold=True,
        ),
        _with_digit,
    ),
    (
        "card",
        _digits,
        compiled(
            rb"(?:^|[^A-Za-z0-9_])([0-9]{13,19}|[0-9]{4}"
            + _SEP
            + rb"[0-9]{4}"
            + _SEP
            + rb"[0-9]{4}"
            + _SEP
            + rb"[0-9]{1,4}(?:"
            + _SEP
            + rb"[0-9]{1,3})?"
            rb"|[0-9]{4}" + _SEP + rb"[0-9]{6}" + _SEP + rb"[0-9]{4,5})(?:$|[^A-Za-z0-9_])"
        ),
        _card,
    ),
    (
        "email",
        _has(b"@"),
        compiled(
            rb"((?:[A-Za-z0-9._%+-]|[\xc3-\xdf][\x80-\xbf]){1,64}" + _DOMAIN + rb")", fold=True
        ),
        _address,
    ),
    (
        "email",
        _has(b"@"),
        compiled(
            rb"""(?:^|[\s<(,;:"])(""" + _ATEXT + rb"{1,64}" + _DOMAIN + rb""")(?:$|[\s>),;:."])""",
            fold=True,
        ),
        _address,
    ),
]
"""Kind, sign that it may be there, form (its first group is what goes), and check."""
