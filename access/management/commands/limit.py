"""`manage.py limit set|list|remove`: rate limits of apps and of the whole service."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError

from access.management.commands.key import LIMITS, first_problem
from access.models import RateLimit, as_dict
from tokenwatch.commands import Error, TokenWatchCommand, add_json_option


class Command(TokenWatchCommand):
    help = "Limit how many requests or tokens a minute an app, or all, may send."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="does", required=True, metavar="set|list|remove")
        change = actions.add_parser("set", help="make a rate limit, or change the one of its name")
        change.add_argument("name")
        change.add_argument("--app", help="whose requests it counts (default: all)")
        for field in LIMITS:
            change.add_argument(f"--{field.replace('_', '-')}", type=int)
        add_json_option(change)
        add_json_option(actions.add_parser("list", help="list the rate limits"))
        remove = actions.add_parser("remove", help="remove a rate limit")
        remove.add_argument("name")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["does"] == "set":
            self._set(options)
        elif options["does"] == "list":
            self._list(as_json=options["json"])
        else:
            if not RateLimit.objects.filter(name=options["name"]).exists():
                raise Error(f"no rate limit has the name {options['name']!r}")
            RateLimit.objects.get(name=options["name"]).delete()
            self.say(f"Removed the rate limit {options['name']}.")

    def _set(self, options: dict[str, Any]) -> None:
        row = RateLimit.objects.filter(name=options["name"]).first() or RateLimit(
            name=options["name"]
        )
        for field in ("app", *LIMITS):
            if options[field] is not None:
                setattr(row, field, options[field])
        try:
            row.full_clean()
        except ValidationError as exc:
            raise Error(first_problem(exc)) from None
        row.save()
        if options["json"]:
            self.write_json(as_dict(row))
        else:
            self.say(f"Set the rate limit {row.name}.")

    def _list(self, *, as_json: bool) -> None:
        rows = list(RateLimit.objects.all())
        if as_json:
            self.write_json([as_dict(row) for row in rows])
            return
        if not rows:
            self.stdout.write("No rate limits. Make one: limit set NAME --requests-per-minute 600")
            return
        titles = ("Name", "App", "Requests/min>", "Tokens/min>", "At once>", "Enabled")
        self.write_table(
            titles,
            (
                (
                    row.name,
                    row.app or "all requests",
                    *(getattr(row, field) or "-" for field in LIMITS),
                    "yes" if row.enabled else "no",
                )
                for row in rows
            ),
        )
