"""`manage.py upstream add|list|remove|test`: the providers' endpoints from the command line."""

import asyncio
import sys
from argparse import ArgumentParser, BooleanOptionalAction
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError

from tokenwatch.commands import Error, TokenWatchCommand, add_json_option
from tokenwatch.conf import config
from upstreams.checking import check
from upstreams.models import ApiType, Upstream
from upstreams.store import Standing, candidate_of, gets_clients_key, standings

FIELDS = ("priority", "weight", "connect_timeout", "overall_timeout", "model_names")


class Command(TokenWatchCommand):
    help = "Add, list, remove or test the providers' endpoints that requests are sent to."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(
            dest="action", required=True, metavar="add|list|remove|test"
        )
        _add_arguments(actions.add_parser("add", help="add an endpoint"))
        add_json_option(actions.add_parser("list", help="list the endpoints"))
        remove = actions.add_parser("remove", help="remove an endpoint")
        remove.add_argument("upstream", help="its name or its id")
        remove.add_argument("--yes", action="store_true", help="do not ask")
        test = actions.add_parser(
            "test", help="ask an endpoint for its models, which costs nothing"
        )
        test.add_argument("upstream", help="its name or its id")
        add_json_option(test)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "add":
            self._add(options)
        elif options["action"] == "list":
            self._list(as_json=options["json"])
        elif options["action"] == "test":
            self._test(find(options["upstream"]), as_json=options["json"])
        else:
            self._remove(find(options["upstream"]), yes=options["yes"])

    def _add(self, options: dict[str, Any]) -> None:
        upstream = Upstream(
            name=options["name"],
            api_type=options["api_type"],
            base_url=options["base_url"],
            credential_env=options["credential_env"],
            enabled=not options["disabled"],
        )
        for field in FIELDS:
            if options[field] is not None:
                setattr(upstream, field, options[field])
        try:
            upstream.set_credential(sys.stdin.readline().strip() if options["credential"] else "")
            if options["credential"] and not upstream.sealed_credential:
                raise Error("credential: standard input is empty")
            upstream.full_clean()
        except ValidationError as exc:
            raise Error(first_problem(exc)) from None
        own = bool(upstream.sealed_credential or upstream.credential_env)
        wanted = options["forward_client_credential"]
        upstream.forward_client_credential = (
            wanted if wanted is not None else not own and gets_clients_key(upstream)
        )
        upstream.save()
        state = "" if upstream.enabled else ", disabled"
        self.say(
            f"Added upstream {upstream.name} ({upstream.api_type}, {upstream.base_url}, "
            f"priority {upstream.priority}, {_credential(upstream)}{state})."
        )
        if upstream.base_url.endswith("/v1"):
            self.say(
                "Its URL ends in /v1, and so will what is appended to it (/v1/...): leave /v1 out, "
                "unless your SDKs' base URLs end before it."
            )
        if not own and not upstream.forward_client_credential:
            self.say(
                "It gets no credential, as clients' keys are for another host. Give it one in "
                "the admin or by --credential-env, or say --forward-client-credential."
            )

    def _list(self, *, as_json: bool) -> None:
        upstreams = list(Upstream.objects.all())
        found = standings(upstreams, datetime.now(UTC))
        if as_json:
            pairs = zip(upstreams, found, strict=True)
            self.write_json([as_dict(upstream, standing) for upstream, standing in pairs])
            return
        if not upstreams:
            self.stdout.write("No upstreams: the configured URLs serve. Add one: upstream add")
            return
        rows = (
            (
                u.pk,
                u.name,
                u.api_type,
                u.base_url,
                u.priority,
                u.weight,
                _credential(u),
                "yes" if u.enabled else "no",
                standing.shown,
            )
            for u, standing in zip(upstreams, found, strict=True)
        )
        titles = ("Id>", "Name", "API type", "Base URL", "Priority>", "Weight>", "Credential")
        self.write_table((*titles, "Enabled", "State"), rows)

    def _test(self, upstream: Upstream, *, as_json: bool) -> None:
        checked = asyncio.run(check(candidate_of(upstream), config))
        if as_json:
            self.write_json(
                {
                    "name": upstream.name,
                    "ok": checked.ok,
                    "status": checked.status,
                    "milliseconds": checked.milliseconds,
                    "said": checked.said,
                }
            )
            if not checked.ok:
                sys.exit(1)
            return
        took = (
            "" if checked.status is None else f" (HTTP {checked.status}, {checked.milliseconds} ms)"
        )
        if not checked.ok:
            raise Error(f"upstream {upstream.name}: {checked.said}{took}")
        self.say(f"Upstream {upstream.name}: {checked.said}{took}.")

    def _remove(self, upstream: Upstream, *, yes: bool) -> None:
        self.confirm(f"Remove upstream {upstream.name}?", yes=yes)
        upstream.delete()
        self.say(f"Removed upstream {upstream.name}.")


def _add_arguments(add: ArgumentParser) -> None:
    add.add_argument("name", help="shown in the ledger")
    add.add_argument("--api-type", required=True, choices=ApiType.values)
    add.add_argument(
        "--base-url", required=True, help="what stands before /v1/…: https://api.openai.com"
    )
    add.add_argument("--priority", type=int, help="the lowest number goes first (default: 100)")
    add.add_argument("--weight", type=int, help="share within a priority (default: 1)")
    own = add.add_mutually_exclusive_group()
    own.add_argument(
        "--credential-env", default="", metavar="VARIABLE", help="holds its own credential"
    )
    own.add_argument(
        "--credential",
        action="store_true",
        help="read its own credential from standard input, and keep it encrypted",
    )
    add.add_argument(
        "--forward-client-credential",
        action=BooleanOptionalAction,
        help="send it the client's credential (default: where it has none of its own, and no "
        "other host gets the clients')",
    )
    add.add_argument("--connect-timeout", type=float, help="seconds (default: the setting's)")
    add.add_argument("--overall-timeout", type=float, help="seconds (default: the setting's)")
    add.add_argument("--model-names", help='what it calls models: \'{"gpt-4o": "its name"}\'')
    add.add_argument("--disabled", action="store_true", help="add it, but send it nothing")


def _credential(upstream: Upstream) -> str:
    """Where its credential comes from; never what it is."""
    if upstream.sealed_credential:
        return "own credential"
    if upstream.credential_env:
        return f"credential from {upstream.credential_env}"
    return "client's credential" if upstream.forward_client_credential else "no credential"


def find(reference: str) -> Upstream:
    """An upstream by name, else by id.

    Raises:
        Error: there is none.
    """
    found = Upstream.objects.filter(name=reference).first()
    if found is None and reference.isascii() and reference.isdigit() and len(reference) < 19:
        found = Upstream.objects.filter(pk=int(reference)).first()
    if found is None:
        raise Error(f"no upstream has the name or id {reference!r}")
    return found


def as_dict(upstream: Upstream, standing: Standing) -> dict[str, Any]:
    names = ("id", "name", "api_type", "base_url", "priority", "weight", "connect_timeout")
    more = ("overall_timeout", "forward_client_credential", "enabled", "created_at")
    return {name: getattr(upstream, name) for name in (*names, *more)} | {
        "credential_set": bool(upstream.sealed_credential),
        "credential_env": upstream.credential_env or "",
        "model_names": candidate_of(upstream).models,
        "state": standing.state,
        "since": standing.since,
        "until": standing.until,
        "last_error": standing.error,
    }


def first_problem(error: ValidationError) -> str:
    """The first thing wrong with a model's fields, as one line with the option's name."""
    field, messages = next(iter(error.message_dict.items()))
    option = "" if field == "__all__" else f"{field.replace('_', '-')}: "
    return f"{option}{messages[0]}"
