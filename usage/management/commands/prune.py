"""`manage.py prune`: remove what is too old now, or say what would go."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from tokenwatch import jobs
from tokenwatch.commands import Error, TokenWatchCommand, add_json_option
from usage import retention


class Command(TokenWatchCommand):
    help = "Remove requests and other records that are too old, as is done daily by itself."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
        add_json_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        now, dry = datetime.now(UTC), options["dry_run"]
        counts = self._counted(now) if dry else self._removed(now)
        if options["json"]:
            found = [
                {"what": part.name, "kept": part.kept(), "removed": counts[part.name]}
                for part in retention.parts()
            ]
            self.write_json({"dry_run": dry, "parts": found})
            return
        self.write_table(
            ("What", "Kept", "Would be removed>" if dry else "Removed>"),
            [(p.name, p.kept(), f"{counts[p.name]:,}") for p in retention.parts()],
        )

    def _counted(self, now: datetime) -> dict[str, int]:
        return {part.name: part.count(now) for part in retention.parts()}

    def _removed(self, now: datetime) -> dict[str, int]:
        try:
            with jobs.claimed(retention.JOB) as turn:
                removed = retention.prune(now, pause=turn.pause)
        except jobs.BusyError:
            raise Error("a running TokenWatch removes old records at this moment") from None
        if turn.stopped:
            raise Error("another process has taken over; run the command again")
        return dict(removed)
