"""`reset` empties the ledger and nothing else."""

from datetime import UTC, datetime
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from tests.usage.samples import NOON, usage_row
from tokenwatch.commands import Error
from upstreams.models import Upstream
from usage import writer
from usage.models import ModelPrice, UsageRecord, UsageRollup

pytestmark = pytest.mark.django_db


@pytest.fixture
def ledger() -> None:
    writer.insert([usage_row(), usage_row(created_at=NOON + 7200)], check=False)
    User.objects.create_user("somebody")
    Upstream.objects.create(name="z", api_type="openai", base_url="https://api.example")


@pytest.mark.usefixtures("ledger")
def test_rows_and_statistics_go_and_the_rest_stays() -> None:
    prices = ModelPrice.objects.count()
    out = StringIO()
    call_command("reset", "--yes", stdout=out)
    assert "Deleted 2 requests and 15 " in out.getvalue()
    assert not UsageRecord.objects.exists()
    assert not UsageRollup.objects.exists()
    assert User.objects.filter(username="somebody").exists()
    assert Upstream.objects.exists()
    assert ModelPrice.objects.count() == prices > 0


@pytest.mark.usefixtures("ledger")
def test_without_yes_and_without_a_terminal_nothing_is_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", StringIO("y\n"))
    with pytest.raises(Error, match="--yes"):
        call_command("reset")
    assert UsageRecord.objects.count() == 2


@pytest.mark.usefixtures("ledger")
def test_budgets_begin_at_nothing() -> None:
    from budgets.figures import statuses
    from budgets.models import Budget

    made = Budget.objects.create(name="all", limit=5, period="total")
    writer.insert([usage_row(cost="2.0000000000")], check=False)
    now = datetime.fromtimestamp(NOON, UTC)
    assert statuses([made], now)[0].share > 0.4
    call_command("reset", "--yes", stdout=StringIO())
    assert statuses([made], now)[0].spent == 0
    writer.insert([usage_row(cost="1.0000000000")], check=False)
    assert statuses([made], now)[0].share == 0.2
