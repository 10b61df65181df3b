"""Ratings of answers."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from experiments.feedback import FeedbackError, UnknownRequestError, record
from experiments.models import ABFeedback
from tests.experiments.rows import row, store

pytestmark = pytest.mark.django_db


def request_id(made):
    return f"{int(made.timestamp() * 1000):012x}" + "ab" * 10


def test_a_rating_is_kept_with_its_labels():
    (one,) = store(row("B", test="prompt length"))
    kept = record(f" {one.upper()} ", 4.5, ["helpful", " short ", "helpful"])
    assert (kept.request_id, kept.test, kept.variant) == (one, "prompt length", "B")
    assert (kept.pending, kept.replaced) == (False, False)
    stored = ABFeedback.objects.get()
    assert stored.rating == Decimal("4.5")
    assert stored.labels.split("\n") == ["helpful", "short"]


def test_a_later_rating_replaces_the_earlier_one():
    (one,) = store(row())
    record(one, 1, ["wrong"])
    assert record(one, 5).replaced
    stored = ABFeedback.objects.get()
    assert (stored.rating, stored.labels) == (5, "")


def test_a_request_whose_row_is_not_stored_yet_is_taken():
    now = datetime.now(UTC)
    one = request_id(now - timedelta(seconds=2))
    kept = record(one, 3)
    assert (kept.pending, kept.test) == (True, "")
    store(row(request_id=one))
    again = record(one, 4)
    assert (again.pending, again.test, again.replaced) == (False, "t", True)


@pytest.mark.parametrize("age", [timedelta(days=2), timedelta(hours=-1)])
def test_a_request_that_never_was_is_said_so(age):
    with pytest.raises(UnknownRequestError, match="There is no request"):
        record(request_id(datetime.now(UTC) - age), 3)
    assert not ABFeedback.objects.exists()


def test_an_answer_outside_of_any_test_can_be_rated():
    (one,) = store(row("", test=""))
    assert record(one, 3).test == ""


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"request_id": "abc"}, "32 hexadecimal digits"),
        ({"request_id": None}, "32 hexadecimal digits"),
        ({"rating": "5"}, "number from -100 to 100"),
        ({"rating": True}, "number from -100 to 100"),
        ({"rating": float("nan")}, "number from -100 to 100"),
        ({"rating": float("inf")}, "number from -100 to 100"),
        ({"rating": 100.5}, "number from -100 to 100"),
        ({"rating": None}, "number from -100 to 100"),
        ({"labels": "good"}, "list of texts"),
        ({"labels": 5}, "list of texts"),
        ({"labels": [""]}, "not empty"),
        ({"labels": [3]}, "not empty"),
        ({"labels": ["x" * 51]}, "at most 50"),
        ({"labels": ["a\nb"]}, "printable"),
        ({"labels": [str(n) for n in range(11)]}, "more than 10"),
    ],
)
def test_what_cannot_be_taken_is_one_clear_sentence(values, said):
    (one,) = store(row())
    with pytest.raises(FeedbackError, match=said):
        record(**{"request_id": one, "rating": 3, "labels": [], **values})
    assert not ABFeedback.objects.exists()


def test_the_longest_labels_fit():
    (one,) = store(row())
    labels = [f"{n}" + "ä" * 49 for n in range(10)]
    record(one, -0.12344, labels)
    stored = ABFeedback.objects.get()
    assert stored.labels.split("\n") == labels
    assert len(stored.labels) <= 600
    assert stored.rating == Decimal("-0.1234")
