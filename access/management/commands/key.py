"""`manage.py key create|list|revoke|rotate|remove`: client keys from the command line."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError

from access.expiry import parse_expiry
from access.models import ProxyKey, as_dict
from access.store import new_key
from tokenwatch.commands import Error, TokenWatchCommand, add_json_option

LIMITS = ("requests_per_minute", "tokens_per_minute", "concurrent_requests")


class Command(TokenWatchCommand):
    help = "Make client keys, which let apps use the proxy; list, revoke or replace them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(
            dest="does", required=True, metavar="create|list|revoke|rotate|remove"
        )
        _add_create(actions.add_parser("create", help="make a key and print it, this once"))
        add_json_option(actions.add_parser("list", help="list the keys, by how they begin"))
        for name, text in (
            ("revoke", "refuse a key from now on"),
            ("rotate", "print a new key in the place of the present one, which ends"),
            ("remove", "revoke a key and forget that there was one"),
        ):
            one = actions.add_parser(name, help=text)
            one.add_argument("key", help="its name, or how it begins")
            if name == "remove":
                one.add_argument("--yes", action="store_true", help="do not ask")
            else:
                add_json_option(one)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["does"] == "create":
            self._create(options)
        elif options["does"] == "list":
            self._list(as_json=options["json"])
        elif options["does"] == "remove":
            row = find(options["key"])
            self.confirm(f"Remove the client key {row.name}?", yes=options["yes"])
            row.delete()
            self.say(f"Removed the client key {row.name}.")
        elif options["does"] == "rotate":
            self._made(find(options["key"]), as_json=options["json"])
        else:
            self._revoke(find(options["key"]), as_json=options["json"])

    def _create(self, options: dict[str, Any]) -> None:
        row = ProxyKey(
            name=options["name"],
            app=options["name"] if options["app"] is None else options["app"],
            tag=options["tag"],
            models_allowed=options["models"],
            upstreams_allowed=options["upstreams"],
        )
        for field in LIMITS:
            setattr(row, field, options[field])
        try:
            if options["expires"]:
                row.expires_at = parse_expiry(options["expires"], datetime.now(UTC))
            row.full_clean()
        except ValueError as exc:
            raise Error(f"expires: {exc}") from None
        except ValidationError as exc:
            raise Error(first_problem(exc)) from None
        self._made(row, as_json=options["json"])

    def _made(self, row: ProxyKey, *, as_json: bool) -> None:
        key = new_key()
        row.set_key(key)
        row.save()
        if as_json:
            self.write_json({**as_dict(row), "key": key})
            return
        self.say(key)
        self.stderr.write(
            f"This is the key {row.name!r}, shown this once. Use it as your SDK's API key."
        )

    def _list(self, *, as_json: bool) -> None:
        rows = list(ProxyKey.objects.all())
        if as_json:
            self.write_json([as_dict(row) for row in rows])
            return
        if not rows:
            self.stdout.write("No client keys. Make one: key create NAME")
            return
        now = datetime.now(UTC)
        self.write_table(
            ("Name", "Begins with", "App", "Models", "Limits", "Expires", "Last used", "State"),
            (
                (
                    row.name,
                    row.shown,
                    row.app or "",
                    row.models_allowed or "all",
                    ", ".join(f"{getattr(row, f)} {f}" for f in LIMITS if getattr(row, f)) or "-",
                    _moment(row.expires_at),
                    _moment(row.last_used_at),
                    state(row, now),
                )
                for row in rows
            ),
        )

    def _revoke(self, row: ProxyKey, *, as_json: bool) -> None:
        row.enabled = False
        row.save(update_fields=["enabled"])
        if as_json:
            self.write_json(as_dict(row))
        else:
            self.say(f"Revoked the client key {row.name}; workers refuse it within a second or so.")


def _add_create(create: ArgumentParser) -> None:
    create.add_argument("name", help="who uses it")
    create.add_argument(
        "--app", help="the app its requests count for (default: its name; '': what they say)"
    )
    create.add_argument("--tag", default="", help="the tag of its requests")
    create.add_argument(
        "--models", default="", help="names or patterns it may ask for: 'gpt-4o-mini,claude-*'"
    )
    create.add_argument("--upstreams", default="", help="upstreams that may serve it")
    create.add_argument("--requests-per-minute", type=int)
    create.add_argument("--tokens-per-minute", type=int)
    create.add_argument("--concurrent-requests", type=int)
    create.add_argument("--expires", default="", help="30d, 12h, or a date as 2027-01-31 (UTC)")
    add_json_option(create)


def state(row: ProxyKey, now: datetime) -> str:
    if not row.enabled:
        return "revoked"
    return "expired" if row.expires_at is not None and row.expires_at <= now else "good"


def find(reference: str) -> ProxyKey:
    """A key by its name, else by how it begins.

    Raises:
        Error: there is none, or there are several.
    """
    found = ProxyKey.objects.filter(name=reference).first()
    if found is None and reference.startswith("tw-"):
        begins = list(ProxyKey.objects.filter(shown=reference[:9])[:2])
        if len(begins) > 1:
            raise Error("several client keys begin so: say the name")
        found = begins[0] if begins else None
    if found is None:
        shown = reference[:9] + "…" if reference.startswith("tw-") else reference
        raise Error(f"no client key has the name {shown!r} or begins so")
    return found


def first_problem(error: ValidationError) -> str:
    """The first thing wrong with a key, as one line with the option's name."""
    field, texts = next(iter(error.message_dict.items()))
    option = field.removesuffix("_allowed").replace("_", "-")
    return f"{option}: {texts[0]}" if field != "__all__" else texts[0]


def _moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else "never"
