"""`manage.py upstream add|list|remove`: the providers' endpoints from the command line."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError

from tokenwatch.commands import Error, TokenWatchCommand, add_json_option
from upstreams.models import ApiType, Upstream


class Command(TokenWatchCommand):
    help = "Add, list or remove the providers' endpoints that requests are sent to."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="add|list|remove")
        add = actions.add_parser("add", help="add an endpoint")
        add.add_argument("name", help="shown in the ledger")
        add.add_argument("--api-type", required=True, choices=ApiType.values)
        add.add_argument(
            "--base-url", required=True, help="what stands before /v1/…: https://api.openai.com"
        )
        add.add_argument("--priority", type=int, help="the lowest number is used (default: 100)")
        add.add_argument("--disabled", action="store_true", help="add it, but send it nothing")
        add_json_option(actions.add_parser("list", help="list the endpoints"))
        remove = actions.add_parser("remove", help="remove an endpoint")
        remove.add_argument("upstream", help="its name or its id")
        remove.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "add":
            self._add(options)
        elif options["action"] == "list":
            self._list(as_json=options["json"])
        else:
            self._remove(find(options["upstream"]), yes=options["yes"])

    def _add(self, options: dict[str, Any]) -> None:
        upstream = Upstream(
            name=options["name"],
            api_type=options["api_type"],
            base_url=options["base_url"],
            enabled=not options["disabled"],
        )
        if options["priority"] is not None:
            upstream.priority = options["priority"]
        try:
            upstream.full_clean()
        except ValidationError as exc:
            raise Error(first_problem(exc)) from None
        upstream.save()
        state = "" if upstream.enabled else ", disabled"
        self.say(
            f"Added upstream {upstream.name} ({upstream.api_type}, {upstream.base_url}, "
            f"priority {upstream.priority}{state})."
        )

    def _list(self, *, as_json: bool) -> None:
        upstreams = list(Upstream.objects.all())
        if as_json:
            self.write_json([as_dict(upstream) for upstream in upstreams])
            return
        if not upstreams:
            self.stdout.write("No upstreams: the configured URLs serve. Add one: upstream add")
            return
        rows = (
            (u.pk, u.name, u.api_type, u.base_url, u.priority, "yes" if u.enabled else "no")
            for u in upstreams
        )
        self.write_table(("Id>", "Name", "API type", "Base URL", "Priority>", "Enabled"), rows)

    def _remove(self, upstream: Upstream, *, yes: bool) -> None:
        self.confirm(f"Remove upstream {upstream.name}?", yes=yes)
        upstream.delete()
        self.say(f"Removed upstream {upstream.name}.")


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


def as_dict(upstream: Upstream) -> dict[str, Any]:
    names = ("id", "name", "api_type", "base_url", "priority", "enabled", "created_at")
    return {name: getattr(upstream, name) for name in names}


def first_problem(error: ValidationError) -> str:
    """The first thing wrong with a model's fields, as one line with the option's name."""
    field, messages = next(iter(error.message_dict.items()))
    option = "" if field == "__all__" else f"{field.replace('_', '-')}: "
    return f"{option}{messages[0]}"
