"""`manage.py tail`: the newest requests, and new ones as they are stored."""

import time
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from tokenwatch.commands import TokenWatchCommand, add_json_option, visible
from usage.models import UsageRecord
from usage.tailing import Follower, as_json, newest

POLL_SECONDS = 0.5
COLUMNS = (
    ("Time (UTC)", 19),
    ("App", 14),
    ("Model", 26),
    ("Status>", 6),
    ("Input>", 9),
    ("Output>", 8),
    ("Cached>", 8),
    ("Cost>", 13),
    ("ms>", 7),
    ("Tag", 14),
    ("Error", 20),
)
"""Title (``>``: to the right) and width in the live view, whose lines are printed one by one."""


def row_count(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = -1
    if not 0 <= count <= 100_000:
        raise ArgumentTypeError("expected a whole number from 0 to 100000")
    return count


class Command(TokenWatchCommand):
    help = (
        "Show the newest requests and follow new ones.\n"
        "With --once and with --json the newest come first; the live view has them last."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "-n", type=row_count, default=20, metavar="N", help="begin with the last N (20)"
        )
        parser.add_argument("--once", action="store_true", help="print them and end")
        add_json_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["once"]:
                self._once(newest(options["n"]), json=options["json"])
            else:
                self._live(options["n"], json=options["json"])
        except KeyboardInterrupt:  # how a live view is left
            return

    def _once(self, records: list[UsageRecord], *, json: bool) -> None:
        if json:
            for record in records:
                self.write_json(as_json(record))
        elif records:
            self.write_table((title for title, _ in COLUMNS), map(cells, records))
        else:
            self.stdout.write("No requests yet.")

    def _live(self, count: int, *, json: bool) -> None:
        follower = Follower()
        records = newest(count)
        if json:
            self._once(records, json=True)
        else:
            self.say(aligned([title.rstrip(">") for title, _ in COLUMNS]))
            self._print(reversed(records), json=False)
        while True:
            self.stdout.flush()
            time.sleep(POLL_SECONDS)
            self._print(follower.look(), json=json)

    def _print(self, records: Any, *, json: bool) -> None:
        for record in records:
            if json:
                self.write_json(as_json(record))
            else:
                self.say(aligned(cells(record)))


def cells(record: UsageRecord) -> list[str]:
    """A row for people; ``~`` marks estimated token counts."""
    about = "~" if record.usage_estimated else ""
    cached = record.cache_read_tokens + record.cache_write_tokens + record.cache_write_1h_tokens
    return [
        f"{record.created_at:%Y-%m-%d %H:%M:%S}",
        record.source_app,
        record.model_used or record.model_requested,
        str(record.status_code),
        f"{about}{record.input_tokens}",
        f"{about}{record.output_tokens}",
        str(cached),
        "unknown" if record.cost is None else f"${record.cost:.6f}",
        str(record.latency_ms),
        record.feature_tag,
        record.error_type,
    ]


def aligned(values: list[str]) -> str:
    """One line of the live view; a text that is too long loses its end."""
    parts = []
    for (title, width), value in zip(COLUMNS, map(visible, values), strict=True):
        if len(value) > width and not title.endswith(">"):
            value = value[: width - 1] + "…"
        parts.append(value.rjust(width) if title.endswith(">") else value.ljust(width))
    return "  ".join(parts).rstrip()
