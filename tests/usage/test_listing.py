"""Pages of requests: every match once, newest first, however rare, and never the whole table."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.usage.samples import NOON, usage_row
from usage import listing
from usage.listing import Cursor, Wanted
from usage.writer import insert

pytestmark = pytest.mark.django_db
END = datetime.fromtimestamp(NOON, UTC)
HOUR = 3600


def wanted(**values):
    return Wanted(**{"start": None, "end": END, **values})


def apps(found):
    return [row.source_app for row in found]


def through(what, size):
    return [row.source_app for rows in listing.every(what, size) for row in rows]


@pytest.fixture
def stored():
    insert(
        [
            usage_row(source_app=f"n{number}", created_at=NOON - number * 600, feature_tag=tag)
            for number in range(60)
            for tag in ["rare" if number % 20 == 7 else "often"]
        ],
        check=False,
    )


@pytest.mark.parametrize("size", [1, 7, 60, 500])
def test_pages_show_every_request_once_newest_first(stored, size):
    assert through(wanted(), size) == [f"n{number}" for number in range(60)]


@pytest.mark.parametrize("size", [1, 2, 50])
def test_a_rare_tag_is_found_across_hours(stored, size):
    assert through(wanted(feature_tag="rare"), size) == ["n7", "n27", "n47"]


def test_requests_of_one_moment_are_not_lost_between_pages():
    insert(
        [usage_row(source_app=f"n{number}", created_at=NOON - 5) for number in range(9)],
        check=False,
    )
    assert sorted(through(wanted(), 2)) == [f"n{number}" for number in range(9)]
    assert sorted(through(wanted(model="gpt-4o-mini-2024-07-18"), 2)) == [
        f"n{number}" for number in range(9)
    ]


def test_a_period_bounds_the_pages(stored):
    start = END - timedelta(minutes=100)
    assert through(wanted(start=start), 5) == [f"n{number}" for number in range(11)]
    assert through(wanted(start=start, feature_tag="often"), 5) == [
        f"n{number}" for number in range(11) if number != 7
    ]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"source_app": "a"}, ["a"]),
        ({"source_app": ""}, [""]),
        ({"model": "m"}, ["a"]),
        ({"model": "asked"}, ["b"]),
        ({"status": "ok"}, ["a", "c", "cached"]),
        ({"status": "error"}, ["b", "broken", ""]),
        ({"status": "4xx"}, ["b"]),
        ({"status": "5xx"}, [""]),
        ({"cache": "hit"}, ["cached"]),
        ({"cache": "miss"}, ["a", "b", "c", "broken", ""]),
        ({"cost": "unknown"}, ["c"]),
        ({"cost": "estimated"}, ["b"]),
        ({"session": "s"}, ["c"]),
        ({"session": "s", "status": "error"}, []),
        ({"source_app": "a", "cache": "hit"}, []),
    ],
)
def test_filters(filters, expected):
    insert(
        [
            usage_row(created_at=NOON - 1, source_app="a", model_used="m"),
            usage_row(
                created_at=NOON - 2,
                source_app="b",
                model_used="",
                model_requested="asked",
                status_code=404,
                usage_estimated=True,
            ),
            usage_row(created_at=NOON - 3, source_app="c", cost=None, session_id="s"),
            usage_row(created_at=NOON - 4, source_app="broken", error_type="stream_error"),
            usage_row(created_at=NOON - 5, source_app="cached", cache_tier="exact"),
            usage_row(created_at=NOON - 6, source_app="", status_code=502),
        ],
        check=False,
    )
    assert apps(listing.page(wanted(**filters), None, 50).rows) == expected


def test_a_page_reads_a_bounded_number_of_hours_and_says_how_far_it_came(monkeypatch):
    monkeypatch.setattr(listing, "WINDOWS", 3)
    insert(
        [usage_row(source_app="x", created_at=NOON - number * HOUR - 1) for number in range(8)],
        check=False,
    )
    with CaptureQueriesContext(connection) as queries:
        found = listing.page(wanted(source_app="x"), None, 50)
    assert len(found.rows) == 3
    assert found.searched_to == END - timedelta(hours=3)
    assert len(queries) == 4
    assert len(through(wanted(source_app="x"), 50)) == 8


@pytest.mark.parametrize(
    "text", ["", "1", "x-1", "1-x", "-1-1", "9" * 40 + "-1", "1-2-3", "9" * 18 + "-1"]
)
def test_a_cursor_that_is_none_is_refused(text):
    with pytest.raises(ValueError):
        Cursor.read(text)


def test_a_cursor_is_read_back():
    cursor = Cursor(END + timedelta(microseconds=123), 42)
    assert Cursor.read(str(cursor)) == cursor


@pytest.mark.parametrize("text", ["", "nonsense", "0" * 31, "\0" * 32, "é" * 32])
def test_what_is_no_request_id_finds_nothing(text):
    assert listing.by_request_id(text) is None
