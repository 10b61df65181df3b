"""`manage.py ab create|list|report|pause|resume|complete`: A/B tests from the command line."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError

from experiments.models import ABTest, Status
from experiments.store import StatusError, counts, overlapping, switch, too_wide
from experiments.validation import share_of
from tokenwatch.commands import Error, TokenWatchCommand, add_json_option
from upstreams.models import ApiType

if TYPE_CHECKING:
    from experiments.report import Report

SWITCHES = {
    "pause": (Status.PAUSED, "stop splitting traffic for now", "Paused"),
    "resume": (Status.ACTIVE, "go on splitting traffic", "Resumed"),
    "complete": (Status.COMPLETED, "end a test for good", "Completed"),
}
OPTIONS = {"share_a": "split", "model": "model", "api_type": "api-type"}
"""Fields whose options are not named like them."""


class Command(TokenWatchCommand):
    help = "Split traffic between two models and compare what comes of it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(
            dest="does", required=True, metavar="create|list|report|pause|resume|complete"
        )
        _add_create(actions.add_parser("create", help="start a test"))
        add_json_option(
            actions.add_parser("list", help="the tests, and how many requests they have")
        )
        report = actions.add_parser("report", help="compare the two models, with a verdict")
        report.add_argument("name")
        add_json_option(report)
        for name, (_, text, _) in SWITCHES.items():
            one = actions.add_parser(name, help=text)
            one.add_argument("name")
            add_json_option(one)

    def handle(self, *args: Any, **options: Any) -> None:
        does, as_json = options["does"], options["json"]
        if does == "create":
            self._create(options)
        elif does == "list":
            self._list(list(ABTest.objects.all()), as_json=as_json)
        elif does == "report":
            self._report(find(options["name"]), as_json=as_json)
        else:
            self._switch(find(options["name"]), does, as_json=as_json)

    def _create(self, options: dict[str, Any]) -> None:
        test = ABTest(
            name=options["name"],
            model_a=options["model_a"],
            model_b=options["model_b"],
            share_a=options["split"],
            **{name: options[name] or "" for name in ("api_type", "app", "tag", "model")},
        )
        try:
            test.full_clean()
        except ValidationError as exc:
            raise Error(first_problem(exc)) from None
        test.save()
        test.refresh_from_db()
        notes = [note for note in (too_wide(test), *overlapping(test)) if note]
        if options["json"]:
            self.write_json({**as_dict(test, {}), "notes": notes})
            return
        self.say(
            f"Created {test.name}: {percent(test.share_a)} {test.model_a}, "
            f"{percent(100 - test.share_a)} {test.model_b}, of {scope_of(test)}."
        )
        for note in notes:
            self.say(f"Note: {note}")

    def _list(self, tests: list[ABTest], *, as_json: bool) -> None:
        found = counts(test.name for test in tests)
        if as_json:
            self.write_json([as_dict(test, found[test.name]) for test in tests])
            return
        if not tests:
            self.stdout.write(
                "No A/B tests. Start one: ab create NAME --model-a MODEL --model-b MODEL"
            )
            return
        self.write_table(
            ("Name", "Status", "A", "B", "Share of A>", "Requests A>", "B>", "Scope", "Created"),
            [
                (
                    test.name,
                    test.status,
                    test.model_a,
                    test.model_b,
                    percent(test.share_a),
                    f"{found[test.name]['A']:,}",
                    f"{found[test.name]['B']:,}",
                    scope_of(test),
                    f"{test.created_at:%Y-%m-%d %H:%M}",
                )
                for test in tests
            ],
        )

    def _report(self, test: ABTest, *, as_json: bool) -> None:
        from experiments.report import as_dict as report_dict
        from experiments.report import report

        found = report(test)
        if as_json:
            self.write_json(report_dict(found))
            return
        self._write_report(found)

    def _write_report(self, found: "Report") -> None:
        from experiments.words import heading, sides, table

        self.say(heading(found))
        self.write_table(
            ("", "Model", "Sessions>", "Requests>", "Left out>", "Labels"), sides(found)
        )
        self.stdout.write("")
        if figures := table(found):
            columns = ("", "A>", "B>", "B - A>", "95% interval>", "p>", "Verdict", "Still needed>")
            self.write_table(columns, figures)
            self.stdout.write("")
        self.say(found.verdict.text)
        for note in found.notes:
            self.say(note)

    def _switch(self, test: ABTest, does: str, *, as_json: bool) -> None:
        status, _, word = SWITCHES[does]
        try:
            switch(test, status, datetime.now(UTC))
        except StatusError as exc:
            raise Error(str(exc)) from None
        if as_json:
            self.write_json(as_dict(test, counts([test.name])[test.name]))
            return
        self.say(f"{word} {test.name}.")


def _add_create(parser: ArgumentParser) -> None:
    parser.add_argument("name", help="rows in the ledger and answers' headers bear it")
    parser.add_argument("--model-a", required=True, metavar="MODEL")
    parser.add_argument("--model-b", required=True, metavar="MODEL")
    parser.add_argument(
        "--split",
        type=_share,
        default=Decimal(50),
        metavar="SHARE",
        help="A's share of the sessions: 0.5, 50 or 50%% (default: 50)",
    )
    parser.add_argument("--app", help="only requests of this app")
    parser.add_argument("--tag", help="only requests with this tag")
    parser.add_argument("--model", help="only requests that ask for this model")
    parser.add_argument("--api-type", choices=ApiType.values, help="only requests of this API")
    add_json_option(parser)


def _share(text: str) -> Decimal:
    try:
        return share_of(text)
    except ValueError as exc:
        raise Error(f"split: {exc}") from None


def find(name: str) -> ABTest:
    """
    Raises:
        Error: there is no such test.
    """
    test = ABTest.objects.filter(name=name).first() if name else None
    if test is None:
        raise Error(f"there is no A/B test named {name!r} (see ab list)")
    return test


def scope_of(test: ABTest) -> str:
    """Whose requests take part, for people."""
    named = [
        f"{word} {value}"
        for word, value in (
            ("API", test.api_type),
            ("app", test.app),
            ("tag", test.tag),
            ("model", test.model),
        )
        if value
    ]
    return ", ".join(named) or "all requests"


def percent(share: Decimal) -> str:
    return f"{float(share):g}%"


def as_dict(test: ABTest, requests: dict[str, int]) -> dict[str, Any]:
    """A test for programs; the share is from 0 to 1, null in the scope stands for any."""
    return {
        "id": test.pk,
        "name": test.name,
        "status": test.status,
        "model_a": test.model_a,
        "model_b": test.model_b,
        "share_a": float(test.share_a) / 100,
        "scope": {
            name: getattr(test, name) or None for name in ("api_type", "app", "tag", "model")
        },
        "requests": {"A": requests.get("A", 0), "B": requests.get("B", 0)},
        "created_at": test.created_at,
        "completed_at": test.completed_at,
    }


def first_problem(error: ValidationError) -> str:
    """The first thing wrong, as one line with the option's name."""
    field, messages = next(iter(error.message_dict.items()))
    return f"{OPTIONS.get(field, field.replace('_', '-'))}: {messages[0]}"
