"""The conditions of routing rules, from what people write to what is tested. Pure.

`parse` is the only way to make one, for admin, command and loader alike; what it cannot read
raises ValueError with one sentence that says what to write.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from zoneinfo import available_timezones

from routing.patterns import check
from routing.predicates import DAY, WEEKDAYS, Bound, Days, Flag, Name, Predicate, Regex, Window
from tokenwatch.globs import is_pattern, matches_nothing

MODEL = "model"
APP = "source_app"
TAG = "tag"
SESSION = "session"
REGEX = "regex"
HEADER = "header"
TOKENS = "token_count"
COST = "cost_today"
TIME = "time"
WEEKDAY = "weekday"
TOOLS = "tools"
STREAM = "stream"

NAMES = frozenset({MODEL, APP, TAG, SESSION})
UTC = "UTC"
ALL = "all"
"""Cost today: of everything."""

_WORDS = {MODEL: "model", APP: "app", TAG: "tag", SESSION: "session"}
_LABELS = {
    **_WORDS,
    REGEX: "the last user message",
    TOKENS: "the estimated input in tokens",
    TIME: "the time",
    WEEKDAY: "the day",
    TOOLS: "having tools",
    STREAM: "streaming",
}
_CREDENTIALS = frozenset(
    {"authorization", "proxy-authorization", "x-api-key", "api-key", "cookie", "x-goog-api-key"}
)
"""Headers whose values no reason repeats."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a rule."""

    kind: str
    value: str
    """As it was written, trimmed."""
    predicate: Predicate
    of: str = ""
    """The header's name in lower case; whose cost is meant: app, tag or all."""

    @property
    def label(self) -> str:
        """What the predicate looks at, for people."""
        if self.kind == HEADER:
            return f"header {self.of}"
        if self.kind == COST:
            return "cost today" if self.of == ALL else f"cost today of the {self.of}"
        return _LABELS[self.kind]

    @property
    def subject(self) -> tuple[str, str]:
        """Two conditions on the same subject look at the same value."""
        return self.kind, self.of

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"


def parse(kind: str, value: str) -> Condition:
    """A condition as it is written down.

    Raises:
        ValueError: one sentence that says what is wrong and what to write instead.
    """
    read = _READERS.get(kind)
    if read is None:
        raise ValueError(f"There is no condition {kind!r}; there are {', '.join(KINDS)}.")
    value = value if kind == REGEX else value.strip()
    predicate, of = read(kind, value)
    return Condition(kind, value, predicate, of)


def _name(kind: str, value: str) -> tuple[Predicate, str]:
    word = _WORDS[kind]
    if not value:
        raise ValueError(f"Name the {word}, or give a pattern such as batch-*.")
    return _name_or_pattern(value, f"a {word}", exact=not is_pattern(value)), ""


def _name_or_pattern(text: str, what: str, *, exact: bool, secret: bool = False) -> Name:
    if any(unicodedata.category(sign).startswith("C") for sign in text):
        raise ValueError(f"There are no control characters in {what}: take them away.")
    if not exact and matches_nothing(text):
        raise ValueError("This pattern matches nothing: a range in brackets goes from low to high.")
    return Name(text, exact, secret)


def _regex(kind: str, value: str) -> tuple[Predicate, str]:
    check(value)
    return Regex(value), ""


_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*([:=])\s*(.*)", re.DOTALL)


def _header(kind: str, value: str) -> tuple[Predicate, str]:
    found = _HEADER.fullmatch(value)
    if found is None or not found[3]:
        raise ValueError(
            "Write the header's name and its value, x-team=blue, or a pattern after a colon, "
            "x-team: blue*."
        )
    name, text = found[1].lower(), found[3]
    exact = found[2] == "=" or not is_pattern(text)
    secret = name in _CREDENTIALS
    return _name_or_pattern(text, "a header", exact=exact, secret=secret), name


_BOUND = re.compile(r"(<=|>=|<|>)\s*\$?\s*([0-9][0-9_,]*(?:\.[0-9]+)?|\.[0-9]+)")


def _bound(text: str) -> Bound | None:
    found = _BOUND.fullmatch(text)
    if found is None:
        return None
    try:
        return Bound(found[1], Decimal(found[2].replace(",", "").replace("_", "")))
    except InvalidOperation:
        return None


def _tokens(kind: str, value: str) -> tuple[Predicate, str]:
    bound = _bound(value)
    if bound is None or bound.limit != bound.limit.to_integral_value():
        raise ValueError("Write a number of tokens with < or >: <2000 or >8000.")
    if bound.sign == "<" and bound.limit == 0:
        raise ValueError("No request has fewer than 0 tokens.")
    return bound, ""


def _cost(kind: str, value: str) -> tuple[Predicate, str]:
    found = re.fullmatch(r"(?:(app|tag|all)\b)?\s*(.*)", value, re.I | re.DOTALL)
    assert found is not None
    of, bound = (found[1] or ALL).lower(), _bound(found[2])
    if bound is None:
        raise ValueError(
            "Write an amount of US dollars with > or <: >5 of everything, app>5 of the "
            "request's app, tag>5 of its tag."
        )
    if bound.sign == "<" and bound.limit == 0:
        raise ValueError("Nothing costs less than $0.")
    return bound, of


_WINDOW = re.compile(r"(\d{1,2}):(\d\d)\s*[-–]\s*(\d{1,2}):(\d\d)(?:\s+(\S+))?")


def _time(kind: str, value: str) -> tuple[Predicate, str]:
    found = _WINDOW.fullmatch(value)
    if found is None:
        raise ValueError("Write a window: 22:00-06:00, or with a zone: 22:00-06:00 Europe/Berlin.")
    hours, minutes = (int(found[1]), int(found[3])), (int(found[2]), int(found[4]))
    first, last = (hour * 60 + minute for hour, minute in zip(hours, minutes, strict=True))
    if max(minutes) > 59 or first >= DAY or last > DAY:
        raise ValueError("There is no such time: a day has 00:00 to 23:59, and ends at 24:00.")
    if first == last:
        raise ValueError("This window is empty; the whole day is 00:00-24:00.")
    return Window(first, last or DAY, _zone(found[5])), ""


_FULL = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAYS = {name: number for names in (WEEKDAYS, _FULL) for number, name in enumerate(names)}


def _weekday(kind: str, value: str) -> tuple[Predicate, str]:
    days, _, zone = re.sub(r"\s*([,–-])\s+|\s+([,–-])\s*", r"\1\2", value).partition(" ")
    found: set[int] = set()
    for part in days.lower().replace("–", "-").split(","):
        first, dash, last = part.partition("-")
        if first not in _DAYS or (dash and last not in _DAYS):
            raise ValueError(
                "Write days: mon-fri or sat,sun, or with a zone: mon-fri Europe/Berlin."
            )
        start, end = _DAYS[first], _DAYS[last if dash else first]
        found.update((start + step) % 7 for step in range((end - start) % 7 + 1))
    return Days(frozenset(found), _zone(zone.strip())), ""


def _zone(name: str | None) -> str:
    if not name:
        return UTC
    if name not in _zones():
        raise ValueError(
            f"There is no time zone {name!r}. Examples: UTC, Europe/Berlin, America/New_York."
        )
    return name


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


_FLAGS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


def _flag(kind: str, value: str) -> tuple[Predicate, str]:
    wanted = _FLAGS.get(value.lower())
    if wanted is None:
        raise ValueError("Write yes or no.")
    return Flag(wanted), ""


_READERS: dict[str, Callable[[str, str], tuple[Predicate, str]]] = {
    MODEL: _name,
    APP: _name,
    TAG: _name,
    SESSION: _name,
    REGEX: _regex,
    HEADER: _header,
    TOKENS: _tokens,
    COST: _cost,
    TIME: _time,
    WEEKDAY: _weekday,
    TOOLS: _flag,
    STREAM: _flag,
}
KINDS = tuple(_READERS)
EXAMPLES = {
    MODEL: ("gpt-4o", "gpt-4*"),
    APP: ("batch", "batch-*"),
    TAG: ("nightly", "*"),
    SESSION: ("ticket-4711", "ticket-*"),
    REGEX: ("(?i)translat|summar",),
    HEADER: ("x-team=blue", "x-team: b*"),
    TOKENS: ("<2000", ">8000"),
    COST: (">50", "app>5", "tag>5"),
    TIME: ("22:00-06:00", "09:00-17:30 Europe/Berlin"),
    WEEKDAY: ("mon-fri", "sat,sun Europe/Berlin"),
    TOOLS: ("yes", "no"),
    STREAM: ("yes", "no"),
}
"""Values that people may begin from."""
