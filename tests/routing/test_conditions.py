"""The decision table: every condition of a routing rule, alone, with its edges."""

from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.conditions import KINDS, parse
from routing.facts import PlainFacts
from routing.patterns import SEARCHED
from routing.rules import Rule, RuleSet

BERLIN = "Europe/Berlin"


def moment(text, zone="UTC", fold=0):
    """Seconds since the epoch of a local time."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def matches(kind, value, **facts):
    """What a rule with this one condition says, by the live path and by the explanation."""
    rules = RuleSet([Rule(1, "r", 1, (parse(kind, value),), "m")])
    request = PlainFacts(**facts)
    (verdict,) = rules.explain(request)
    assert (rules.decide(request) is not None) is verdict.matches
    assert verdict.matches is (verdict.reason == "")
    return verdict.matches


NAMES = [
    ("gpt-4o", "gpt-4o", True),
    ("gpt-4o", "gpt-4o-mini", False),
    ("gpt-4o", "GPT-4o", False),
    ("gpt-4o", "", False),
    ("  gpt-4o ", "gpt-4o", True),
    ("gpt-*", "gpt-4o", True),
    ("gpt-*", "o3-gpt-4o", False),
    ("*mini", "gpt-4o-mini", True),
    ("gpt-?o", "gpt-4o", True),
    ("[a-c]x", "bx", True),
    ("[!a-c]x", "bx", False),
    ("*", "anything", True),
    ("*", "", False),
    ("日本*", "日本語", True),
    ("straße", "strasse", False),
    ("a b/c:d", "a b/c:d", True),
    ("*a" * 100 + "b", "a" * 200, False),
]


@pytest.mark.parametrize(
    ("kind", "fact"),
    [("model", "model"), ("source_app", "app"), ("tag", "tag"), ("session", "session")],
)
@pytest.mark.parametrize(("value", "name", "expected"), NAMES)
def test_names(kind, fact, value, name, expected):
    assert matches(kind, value, **{fact: name}) is expected
    others = {"model", "app", "tag", "session"} - {fact}
    assert not matches(kind, value, **dict.fromkeys(others, name))


@pytest.mark.parametrize(
    ("value", "text", "expected"),
    [
        ("refund", "I want a refund", True),
        ("refund", "I want a Refund", False),
        ("(?i)REFUND|money back", "money back!", True),
        ("^refund", "a refund", False),
        ("退款", "我要退款", True),
        ("(?i)ÄRGER", "viel ärger", True),
        (".*", "", False),
        ("^$", "", False),
        (" a", "b a", True),
        (" a", "a", False),
        ("x", "\ud800x", True),
        ("^(a+)+$", "a" * (SEARCHED - 1) + "!", False),
        ("(a|a)*b", "a" * SEARCHED, False),
        ("end", "x" * SEARCHED + "end", False),
    ],
)
def test_the_last_user_message(value, text, expected):
    assert matches("regex", value, text=text) is expected


@pytest.mark.parametrize(
    ("value", "headers", "expected"),
    [
        ("x-team=blue", {b"x-team": b"blue"}, True),
        ("X-Team=blue", {b"x-team": b"blue"}, True),
        ("x-team=blue", {b"x-team": b"Blue"}, False),
        ("x-team=blue", {b"x-team": b" blue "}, True),
        ("x-team=blue", {}, False),
        ("x-team=blue", {b"x-team": b""}, False),
        ("x-team=blue", {b"x-other": b"blue"}, False),
        ("x-team=b*", {b"x-team": b"blue"}, False),
        ("x-team=b*", {b"x-team": b"b*"}, True),
        ("x-team: b*", {b"x-team": b"blue"}, True),
        ("x-team:blue", {b"x-team": b"blue"}, True),
        ("x-team: *", {b"x-team": b"any"}, True),
        ("x-team: *", {}, False),
        ("x-q=a=b:c", {b"x-q": b"a=b:c"}, True),
        ("x-q: a=b*", {b"x-q": b"a=bc"}, True),
        ("x-city=Köln", {b"x-city": "Köln".encode()}, True),
        ("x-city: *", {b"x-city": b"\xff\xfe"}, True),
        ("x-long: a*", {b"x-long": b"a" * 100_000}, True),
    ],
)
def test_headers(value, headers, expected):
    assert matches("header", value, headers=headers) is expected


@pytest.mark.parametrize(
    ("value", "tokens", "expected"),
    [
        ("<100", 99, True),
        ("<100", 100, False),
        (">100", 100, False),
        (">100", 101, True),
        ("<=100", 100, True),
        ("<=100", 101, False),
        (">=100", 100, True),
        (">=100", 99, False),
        ("> 8,000", 8001, True),
        ("<1_000", 999, True),
        (">0", 0, False),
    ],
)
def test_estimated_input(value, tokens, expected):
    assert matches("token_count", value, tokens=tokens) is expected


COSTS = {"all": Decimal(9), "app": Decimal(5), "tag": Decimal("2.5")}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (">5", True),
        (">9", False),
        (">=9", True),
        ("<9", False),
        ("<9.01", True),
        ("all > $8.50", True),
        ("app>4.99", True),
        ("app>5", False),
        ("App > 4", True),
        ("tag>2.5", False),
        ("tag>.5", True),
        ("tag<3", True),
        (">1,000", False),
    ],
)
def test_cost_today(value, expected):
    assert matches("cost_today", value, app="a", tag="t", costs=COSTS) is expected


def test_a_request_without_a_tag_has_no_cost_of_its_tag():
    assert not matches("cost_today", "tag>0", costs=COSTS)
    assert not matches("cost_today", "app<100", costs=COSTS)
    assert matches("cost_today", ">0", costs=COSTS)


@pytest.mark.parametrize(
    ("value", "at", "expected"),
    [
        ("09:00-17:00", "2026-11-23T08:59:59", False),
        ("09:00-17:00", "2026-11-23T09:00:00", True),
        ("09:00-17:00", "2026-11-23T16:59:59", True),
        ("09:00-17:00", "2026-11-23T17:00:00", False),
        ("22:00-06:00", "2026-11-23T21:59:59", False),
        ("22:00-06:00", "2026-11-23T22:00:00", True),
        ("22:00-06:00", "2026-11-23T23:59:59", True),
        ("22:00-06:00", "2026-11-24T00:00:00", True),
        ("22:00-06:00", "2026-11-24T05:59:59", True),
        ("22:00-06:00", "2026-11-24T06:00:00", False),
        ("22:00-24:00", "2026-11-23T23:59:59", True),
        ("22:00-00:00", "2026-11-23T23:59:59", True),
        ("22:00-24:00", "2026-11-24T00:00:00", False),
        ("00:00-24:00", "2026-11-24T00:00:00", True),
        ("0:00-0:01", "2026-11-24T00:00:59", True),
        ("9:00 - 17:00", "2026-11-23T12:00:00", True),
    ],
)
def test_time_of_day(value, at, expected):
    assert matches("time", value, at=moment(at)) is expected


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-23T07:59", False),  # 08:59 in Berlin
        ("2026-11-23T08:00", True),
        ("2026-07-23T06:59", False),  # an hour earlier in summer
        ("2026-07-23T07:00", True),
    ],
)
def test_a_time_in_a_zone(at, expected):
    assert matches("time", f"09:00-17:00 {BERLIN}", at=moment(at)) is expected


def test_zones_that_are_not_whole_hours():
    at = moment("2026-11-23T03:30")
    assert matches("time", "09:15-09:16 Asia/Kathmandu", at=at)
    assert matches("time", "09:00-09:01 Asia/Kolkata", at=at)


def test_a_window_that_the_clock_skips_does_not_come_that_day():
    """On 2026-03-29 in Berlin, 02:00 is followed by 03:00."""
    minutes = range(int(moment("2026-03-29T00:00")), int(moment("2026-03-29T04:00")), 60)
    assert not any(matches("time", f"02:10-02:50 {BERLIN}", at=at) for at in minutes)
    assert matches("time", f"01:59-03:01 {BERLIN}", at=moment("2026-03-29T01:59:59", BERLIN))
    assert matches("time", f"01:59-03:01 {BERLIN}", at=moment("2026-03-29T03:00", BERLIN))


def test_a_window_that_the_clock_repeats_comes_twice():
    """On 2026-10-25 in Berlin, 02:00 to 03:00 comes twice."""
    window = f"02:10-02:50 {BERLIN}"
    for fold in (0, 1):
        assert matches("time", window, at=moment("2026-10-25T02:30", BERLIN, fold))
        assert not matches("time", window, at=moment("2026-10-25T02:50", BERLIN, fold))


@pytest.mark.parametrize(
    ("value", "at", "expected"),
    [
        ("mon-fri", "2026-11-27T23:59:59", True),  # a Friday
        ("mon-fri", "2026-11-28T00:00:00", False),
        ("sat,sun", "2026-11-28T12:00", True),
        ("sat, sun", "2026-11-29T12:00", True),
        ("sat,sun", "2026-11-30T00:00:00", False),
        ("fri-mon", "2026-11-29T12:00", True),
        ("fri-mon", "2026-11-26T12:00", False),
        ("mon-wed,fri", "2026-11-27T12:00", True),
        ("mon-wed,fri", "2026-11-26T12:00", False),
        ("Sunday", "2026-11-29T12:00", True),
        ("MON - FRI", "2026-11-26T12:00", True),
        ("tue-tue", "2026-11-24T12:00", True),
        ("tue-tue", "2026-11-25T12:00", False),
        ("mon-sun", "2026-11-25T12:00", True),
        ("sat Pacific/Auckland", "2026-11-27T12:00", True),
        ("fri Pacific/Auckland", "2026-11-27T12:00", False),
        ("sun Europe/Berlin", "2026-11-28T23:30", True),
        ("sat,sun  America/Port-au-Prince", "2026-11-29T12:00", True),
    ],
)
def test_weekdays(value, at, expected):
    assert matches("weekday", value, at=moment(at)) is expected


@pytest.mark.parametrize("value", ["yes", "no", "YES", "true", "off"])
@pytest.mark.parametrize(("kind", "fact"), [("tools", "has_tools"), ("stream", "stream")])
def test_yes_and_no(kind, fact, value):
    wanted = value.lower() in ("yes", "true")
    assert matches(kind, value, **{fact: wanted})
    assert not matches(kind, value, **{fact: not wanted})


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("colour", "red", "no condition 'colour'; there are model"),
        ("model", "", "Name the model"),
        ("source_app", "  ", "Name the app"),
        ("tag", "a\u200eb", "control characters"),
        ("tag", "[z-a]", "matches nothing"),
        ("session", "", "Name the session"),
        ("regex", "", "empty"),
        ("regex", "(a", "missing )"),
        ("regex", "(?=a)", "look-around"),
        ("regex", "a" * 1001, "longer than"),
        ("header", "x-team", "x-team=blue"),
        ("header", "x-team=", "x-team=blue"),
        ("header", "x team=blue", "x-team=blue"),
        ("header", "=blue", "x-team=blue"),
        ("header", "x-team: [z-a]", "matches nothing"),
        ("header", "x-team=a\x00", "control characters"),
        ("token_count", "100", "<2000 or >8000"),
        ("token_count", ">1.5", "<2000 or >8000"),
        ("token_count", ">", "<2000 or >8000"),
        ("token_count", ">-5", "<2000 or >8000"),
        ("token_count", "<0", "fewer than 0"),
        ("token_count", "> ٣", "<2000 or >8000"),
        ("cost_today", "5", ">5 of everything"),
        ("cost_today", "session>5", ">5 of everything"),
        ("cost_today", ">nan", ">5 of everything"),
        ("cost_today", "<0", "less than $0"),
        ("time", "22-6", "22:00-06:00"),
        ("time", "22:00", "22:00-06:00"),
        ("time", "25:00-06:00", "no such time"),
        ("time", "24:00-06:00", "no such time"),
        ("time", "00:00-24:01", "no such time"),
        ("time", "10:60-11:00", "no such time"),
        ("time", "09:00-09:00", "empty"),
        ("time", "00:00-00:00", "empty"),
        ("time", "09:00-17:00 Mars/Base", "no time zone 'Mars/Base'"),
        ("time", "09:00-17:00 ../etc/passwd", "no time zone"),
        ("weekday", "", "mon-fri"),
        ("weekday", "someday", "mon-fri"),
        ("weekday", "mon-", "mon-fri"),
        ("weekday", "mon,,tue", "mon-fri"),
        ("weekday", "mon Mars", "no time zone 'Mars'"),
        ("tools", "maybe", "yes or no"),
        ("stream", "", "yes or no"),
    ],
)
def test_what_cannot_be_read_says_what_to_write(kind, value, said):
    with pytest.raises(ValueError) as caught:
        parse(kind, value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@given(
    st.sampled_from(KINDS),
    st.text(max_size=40) | st.text("<>=:-,0159 monfriyestag*[]", max_size=20),
)
def test_any_text_is_read_or_refused_and_what_is_read_can_be_asked(kind, value):
    try:
        condition = parse(kind, value)
    except ValueError:
        return
    again = parse(kind, condition.value)
    assert (again.predicate, again.of) == (condition.predicate, condition.of)
    matches(kind, value, model="m", app="a", tag="t", session="s", text="hi", at=1.8e9)


@pytest.mark.parametrize(
    ("kind", "value", "facts", "reason"),
    [
        ("source_app", "batch", {"app": "web"}, "app is 'web', not 'batch'"),
        ("source_app", "batch", {}, "app is not given"),
        ("model", "gpt-*", {"model": "o3"}, "model is 'o3', not 'gpt-*'"),
        ("session", "a", {"session": "b" * 200}, f"session is '{'b' * 59}…', not 'a'"),
        ("regex", "a", {"text": "b"}, "the last user message does not match"),
        ("regex", "a", {}, "the last user message is empty"),
        ("header", "x-a=1", {"headers": {b"x-a": b"2"}}, "header x-a is '2', not '1'"),
        ("header", "x-a=1", {}, "header x-a is not given"),
        (
            "header",
            "Authorization: Bearer a*",
            {"headers": {b"authorization": b"Bearer secret"}},
            "header authorization is another",
        ),
        (
            "token_count",
            ">2000",
            {"tokens": 1200},
            "the estimated input in tokens is 1,200, not >2,000",
        ),
        ("cost_today", ">5", {"costs": {"all": Decimal("1.50")}}, "cost today is 1.5, not >5"),
        ("cost_today", "tag>5", {}, "cost today of the tag does not exist"),
        (
            "time",
            "22:00-06:00 Europe/Berlin",
            {"at": moment("2026-11-23T12:05")},
            "the time is 13:05 in Europe/Berlin, not in 22:00-06:00",
        ),
        (
            "weekday",
            "sat,sun",
            {"at": moment("2026-11-23T12:05")},
            "the day is mon in UTC, not sat,sun",
        ),
        ("tools", "yes", {}, "having tools is no, not yes"),
        ("stream", "no", {"stream": True}, "streaming is yes, not no"),
    ],
)
def test_a_rule_that_does_not_match_says_why(kind, value, facts, reason):
    rules = RuleSet([Rule(1, "r", 1, (parse(kind, value),), "m")])
    (verdict,) = rules.explain(PlainFacts(**facts))
    assert (verdict.matches, verdict.reason) == (False, reason)
