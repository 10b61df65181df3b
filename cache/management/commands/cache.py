"""`manage.py cache stats|clear`: what the cache holds and has saved, and emptying it."""

import re
from argparse import ArgumentParser
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Sum

from cache import store
from cache.mode import mode_of
from tokenwatch.commands import Error, TokenWatchCommand, add_json_option
from tokenwatch.conf import config
from usage.models import UsageRollup

_AGE = re.compile(r"([0-9]{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Command(TokenWatchCommand):
    help = "See what the cache holds and has saved; clear it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="does", required=True, metavar="stats|clear")
        add_json_option(actions.add_parser("stats", help="entries, hits and savings"))
        clear = actions.add_parser("clear", help="remove entries, in all workers")
        clear.add_argument("--model", default="", help="those of a model, asked or used")
        clear.add_argument("--app", default="", help="those that an app's request made")
        clear.add_argument("--older-than", metavar="AGE", help="such as 90m, 12h or 7d")
        clear.add_argument("--all", action="store_true", help="all of them")
        add_json_option(clear)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["does"] == "stats":
            self._stats(as_json=options["json"])
        else:
            self._clear(options)

    def _stats(self, *, as_json: bool) -> None:
        found = store.stored()
        hits, saved = _saved()
        totals = {
            "mode": mode_of(config),
            "entries": sum(one.entries for one in found),
            "semantic_entries": sum(one.semantic for one in found),
            "bytes": sum(one.size for one in found),
            "hits": hits,
            "saved_cost": saved,
        }
        if as_json:
            models = [
                {
                    "model": one.model,
                    "entries": one.entries,
                    "semantic_entries": one.semantic,
                    "bytes": one.size,
                    "hits": one.hits,
                    "oldest": one.oldest,
                    "newest": one.newest,
                }
                for one in found
            ]
            self.write_json({**totals, "models": models})
            return
        self.say(f"The cache is {mode_of(config)}. Hits so far: {hits:,}; saved: ${saved:.4f}.")
        if not found:
            self.stdout.write("It holds no entries.")
            return
        self.write_table(
            ("Model", "Entries>", "Semantic>", "Size>", "Hits>", "Oldest", "Newest"),
            (
                (
                    one.model or "(none)",
                    f"{one.entries:,}",
                    f"{one.semantic:,}",
                    f"{one.size / 1024:,.0f} kB",
                    f"{one.hits:,}",
                    f"{one.oldest:%Y-%m-%d %H:%M}",
                    f"{one.newest:%Y-%m-%d %H:%M}",
                )
                for one in found
            ),
        )

    def _clear(self, options: dict[str, Any]) -> None:
        chosen = [options["model"], options["app"], options["older_than"]]
        if options["all"] and any(chosen):
            raise Error("--all goes with no other choice")
        if not options["all"] and not any(chosen):
            raise Error("say what to clear: --model, --app, --older-than or --all")
        now = datetime.now(UTC)
        before = now - age(options["older_than"]) if options["older_than"] else None
        count = store.clear(now=now, model=options["model"], app=options["app"], before=before)
        if options["json"]:
            self.write_json({"cleared": count})
        else:
            self.say(f"Cleared {count:,} {'entry' if count == 1 else 'entries'}.")


def age(text: str) -> timedelta:
    """A number with s, m, h or d behind it.

    Raises:
        Error: it is none.
    """
    match = _AGE.fullmatch(text.strip().lower())
    if match is None:
        raise Error(f"{text!r} is no age: write 90m, 12h or 7d")
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


def _saved() -> tuple[int, Decimal]:
    """Hits and what they would have cost, from the ledger's rollups: those of cleared entries
    count too."""
    sums = UsageRollup.objects.filter(bucket_seconds=UsageRollup.HOUR).aggregate(
        hits=Sum("cache_hits"), saved=Sum("saved_cost")
    )
    return sums["hits"] or 0, sums["saved"] or Decimal(0)
