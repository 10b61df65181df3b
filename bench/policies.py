"""200 routing rules and 20 A/B tests, for a database that has none.

Rules of all kinds that nearly match a benchmark's request, and a last one that matches all and
changes nothing; tests for other models, apps and tags, and a last one that takes every request
and asks for the model that was asked for. So all are looked at, and the answers stay the same.
"""

from experiments.models import ABTest
from routing.models import RoutingCondition, RoutingRule

RULES = 200
TESTS = 20
MODEL = "gpt-4o-mini"

CONDITIONS = (
    (("source_app", "app-{}"),),
    (("model", "gpt-4*"), ("tag", "tag-{}")),
    (("source_app", "Open*"), ("header", "x-team=team-{}")),
    (("session", "session-{}-*"),),
    (("regex", "(?i)order number {}"),),
    (("token_count", ">9{}0000"),),
    (("model", MODEL), ("cost_today", "app>100{}")),
    (("time", "00:00-23:59"), ("stream", "yes"), ("tag", "tag-{}")),
    (("weekday", "mon-sun"), ("tools", "yes"), ("model", "other-{}")),
    (("model", "other-{}*"),),
)


def make() -> None:
    """Write them into the database of the present settings."""
    for number in range(RULES):
        last = number == RULES - 1
        rule = RoutingRule.objects.create(
            name=f"rule {number}",
            priority=number,
            model="" if last else "another-model",
            upstreams="default" if last else "",
        )
        for kind, value in () if last else CONDITIONS[number % len(CONDITIONS)]:
            RoutingCondition.objects.create(rule=rule, kind=kind, value=value.format(number))
    for number in range(TESTS):
        last = number == TESTS - 1
        ABTest.objects.create(
            name=f"test {number}",
            model_a=MODEL,
            model_b=MODEL if last else "another-model",
            share_a=50,
            model="" if last else (f"model-{number}", MODEL)[number % 2],
            app="" if last else f"app-{number}",
            tag=("", f"tag-{number}")[number % 3 == 0],
        )
