"""`manage.py route add|list|enable|disable|remove`: routing rules from the command line."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from routing.conditions import KINDS
from routing.models import RoutingCondition, RoutingRule
from routing.store import all_rules, reviewed
from routing.targets import parse_models, parse_split
from tokenwatch.commands import Error, TokenWatchCommand, add_json_option


class Command(TokenWatchCommand):
    help = "Say which requests go to which model and upstream."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(
            dest="does", required=True, metavar="add|list|enable|disable|remove"
        )
        _add_add(actions.add_parser("add", help="add a rule"))
        add_json_option(actions.add_parser("list", help="the rules in their order, with notes"))
        for name, text in (
            ("enable", "let a rule take part"),
            ("disable", "keep a rule, but leave it out"),
            ("remove", "remove a rule"),
        ):
            one = actions.add_parser(name, help=text)
            one.add_argument("name", nargs="?", help="the rule's name")
            one.add_argument("--id", type=int, help="or its id, see route list")
            add_json_option(one)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["does"] == "add":
            self._add(options)
        elif options["does"] == "list":
            self._list(as_json=options["json"])
        elif options["does"] == "remove":
            self._remove(find(options["name"], options["id"]), as_json=options["json"])
        else:
            rule = find(options["name"], options["id"])
            self._switch(rule, enabled=options["does"] == "enable", as_json=options["json"])

    def _add(self, options: dict[str, Any]) -> None:
        rule, conditions = drafted(options)
        try:
            rule.full_clean()
        except ValidationError as exc:
            raise Error(first_problem(exc)) from None
        for condition in conditions:
            try:
                condition.full_clean(exclude=["rule"])
            except ValidationError as exc:
                raise Error(f"condition {condition.kind}: {exc.messages[0]}") from None
        with transaction.atomic():
            rule.save()
            for condition in conditions:
                condition.rule = rule
                condition.save()
        if options["json"]:
            self.write_json(self._described(rule))
            return
        self.say(f"Added rule {rule.pk}: {rule.name} ({rule.when} → {rule.goes_to}).")
        for note in self._described(rule)["notes"]:
            self.say(f"Note: {note}")

    def _list(self, *, as_json: bool) -> None:
        rules = all_rules()
        notes = reviewed(rules)
        if as_json:
            self.write_json([as_dict(rule, notes.get(rule.pk, [])) for rule in rules])
            return
        if not rules:
            self.stdout.write(
                "No rules. Make one: route add NAME --condition source_app --value batch "
                "--target gpt-4o-mini"
            )
            return
        columns = ("Id>", "Priority>", "Rule", "When", "Goes to", "Enabled", "Notes")
        self.write_table(columns, (table_row(rule, notes.get(rule.pk, [])) for rule in rules))

    def _switch(self, rule: RoutingRule, *, enabled: bool, as_json: bool) -> None:
        rule.enabled = enabled
        rule.save(update_fields=["enabled"])
        if as_json:
            self.write_json(self._described(rule))
        else:
            self.say(f"{'Enabled' if enabled else 'Disabled'} rule {rule.pk} ({rule.name}).")

    def _remove(self, rule: RoutingRule, *, as_json: bool) -> None:
        pk = rule.pk
        rule.delete()
        if as_json:
            self.write_json({"removed": pk})
        else:
            self.say(f"Removed rule {pk} ({rule.name}).")

    def _described(self, rule: RoutingRule) -> dict[str, Any]:
        return as_dict(rule, reviewed(all_rules()).get(rule.pk, []))


def _add_add(parser: ArgumentParser) -> None:
    parser.add_argument("name")
    parser.add_argument(
        "--condition",
        action="append",
        default=[],
        choices=KINDS,
        metavar="KIND",
        help=f"what is looked at ({', '.join(KINDS)}), followed by its --value; repeatable, and "
        "all must hold",
    )
    parser.add_argument(
        "--value",
        action="append",
        default=[],
        help="'gpt-4*', '<2000', 'app>5', '22:00-06:00 Europe/Berlin', …: see docs/routing.md",
    )
    parser.add_argument("--target", metavar="MODEL", default="", help="the model to ask instead")
    parser.add_argument(
        "--upstream",
        action="append",
        default=[],
        metavar="NAME[=WEIGHT]",
        help="the upstream to send it to; several share the requests by their weights",
    )
    parser.add_argument(
        "--fallback",
        action="append",
        default=[],
        metavar="MODEL",
        help="tried where the model fails everywhere; repeatable, in that order",
    )
    parser.add_argument("--priority", type=int, help="the lowest number is first (default: 100)")
    parser.add_argument("--disabled", action="store_true", help="add it, but leave it out")
    add_json_option(parser)


def drafted(options: dict[str, Any]) -> tuple[RoutingRule, list[RoutingCondition]]:
    """The rule that the options speak of.

    Raises:
        Error: conditions and values do not come in pairs.
    """
    kinds, values = options["condition"], options["value"]
    if len(kinds) != len(values):
        raise Error(
            f"give each --condition its --value: there are {len(kinds)} of the one and "
            f"{len(values)} of the other"
        )
    rule = RoutingRule(
        name=options["name"],
        enabled=not options["disabled"],
        model=options["target"],
        upstreams=", ".join(options["upstream"]),
        fallbacks=", ".join(options["fallback"]),
    )
    if options["priority"] is not None:
        rule.priority = options["priority"]
    pairs = zip(kinds, values, strict=True)
    return rule, [RoutingCondition(kind=kind, value=value) for kind, value in pairs]


def find(name: str | None, pk: int | None) -> RoutingRule:
    """A rule by its id or its name.

    Raises:
        Error: there is none, or nothing was asked for.
    """
    if (name is None) == (pk is None):
        raise Error("name one rule: its name, or its id with --id")
    if pk is not None:
        rule = RoutingRule.objects.filter(pk=pk).first() if 0 < pk < 2**63 else None
    else:
        rule = RoutingRule.objects.filter(name=name).first()
    if rule is None:
        wanted = f"the id {pk}" if pk is not None else f"the name {name!r}"
        raise Error(f"there is no rule with {wanted} (see route list)")
    return rule


def table_row(rule: RoutingRule, notes: list[str]) -> tuple[object, ...]:
    enabled = "yes" if rule.enabled else "no"
    goes_to, said = rule.goes_to, " ".join(notes)
    return rule.pk, rule.priority, rule.name, rule.when, goes_to, enabled, said


def as_dict(rule: RoutingRule, notes: list[str]) -> dict[str, Any]:
    """A rule for programs. A target that cannot be read is null, and a note says why."""
    return {
        "id": rule.pk,
        "name": rule.name,
        "priority": rule.priority,
        "enabled": rule.enabled,
        "conditions": [{"kind": one.kind, "value": one.value} for one in rule.conditions.all()],
        "model": rule.model or None,
        "upstreams": _upstreams(rule),
        "fallbacks": _fallbacks(rule),
        "notes": notes,
    }


def _upstreams(rule: RoutingRule) -> list[dict[str, Any]] | None:
    try:
        split = parse_split(rule.upstreams or "")
    except ValueError:
        return None
    return [{"name": name, "weight": weight} for name, weight in split]


def _fallbacks(rule: RoutingRule) -> list[str] | None:
    try:
        return list(parse_models(rule.fallbacks or ""))
    except ValueError:
        return None


_OPTIONS = {
    "__all__": "",
    "model": "target: ",
    "upstreams": "upstream: ",
    "fallbacks": "fallback: ",
}


def first_problem(error: ValidationError) -> str:
    """The first thing wrong, as one line with the option's name."""
    field, messages = next(iter(error.message_dict.items()))
    return f"{_OPTIONS.get(field, f'{field}: ')}{messages[0]}"
