"""`manage.py reset`: empty the ledger, and with it what budgets have counted."""

from argparse import ArgumentParser
from typing import Any

from tokenwatch import running
from tokenwatch.commands import TokenWatchCommand
from tokenwatch.conf import config

QUESTION = (
    "Delete every request and all statistics? Budgets begin at nothing; they, prices, upstreams "
    "and users stay."
)


class Command(TokenWatchCommand):
    help = "Delete all requests and statistics; budgets, prices, upstreams and users stay."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, **options: Any) -> None:
        from budgets.settlement import forget_counters
        from usage import ledger

        self.confirm(QUESTION, yes=options["yes"])
        counts = ledger.reset()
        forget_counters()
        self.stdout.write(
            f"Deleted {counts.requests} requests and {counts.rollups} sums of statistics."
        )
        run = running.read(config.run_file)
        if run is not None and running.is_alive(run.pid):
            self.stdout.write("TokenWatch is running: requests under way are counted anew.")
