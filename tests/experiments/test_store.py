"""Tests on their way to the workers."""

from datetime import UTC, datetime, timedelta

import pytest

from experiments.models import ABTest, Status
from experiments.store import StatusError, load_tests, switch
from proxy.snapshot import Policies
from tokenwatch.conf import config

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def made(name="t", **values):
    return ABTest.objects.create(**{"name": name, "model_a": "a", "model_b": "b", **values})


def assigned(tests, session):
    found = tests.assign(
        api_type="openai", model="gpt", app="", tag="", session=session, request_id="0" * 32
    )
    return found and (found.test, found.variant)


def test_a_snapshot_has_the_tests_and_drops_those_that_are_switched_off():
    policies = Policies(config)
    assert assigned(policies.snapshot.tests, "s") is None
    test = made()
    policies.refresh()
    before = [assigned(policies.snapshot.tests, f"s{n}") for n in range(200)]
    assert set(before) == {("t", "A"), ("t", "B")}
    switch(test, Status.PAUSED, NOW)
    policies.refresh()
    assert assigned(policies.snapshot.tests, "s") is None
    switch(test, Status.ACTIVE, NOW)
    policies.refresh()
    assert [assigned(policies.snapshot.tests, f"s{n}") for n in range(200)] == before


def test_a_changed_share_moves_only_sessions_to_the_side_that_grew():
    test = made(share_a=50)
    before = [assigned(load_tests(), f"s{n}") for n in range(300)]
    test.share_a = 60
    test.full_clean()
    test.save()
    after = [assigned(load_tests(), f"s{n}") for n in range(300)]
    moved = {pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]}
    assert moved == {(("t", "B"), ("t", "A"))}


def test_of_two_who_complete_a_test_one_is_told_that_it_was_too_late():
    test = made()
    same = ABTest.objects.get()
    switch(test, Status.COMPLETED, NOW)
    with pytest.raises(StatusError, match="the test t is completed already"):
        switch(same, Status.COMPLETED, NOW + timedelta(hours=1))
    with pytest.raises(StatusError, match="completed, which is final"):
        switch(same, Status.ACTIVE, NOW)
    assert ABTest.objects.get().completed_at == NOW
    same.delete()
    with pytest.raises(StatusError, match="gone"):
        switch(test, Status.PAUSED, NOW)
