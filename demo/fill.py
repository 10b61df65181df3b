"""`python -m demo.fill`: plausible history, and with ``--policies`` budgets and an A/B test.

It writes into the configured database (docs/configuration.md). Where that has requests already
it does nothing but say so; ``--add`` fills all the same.
"""

import argparse
import os
import sys
import time
from decimal import Decimal


def main(prog: str = "python -m demo.fill") -> None:
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--days", type=int, default=30, help="how far back they reach (30)")
    parser.add_argument("--add", action="store_true", help="also where there are requests already")
    parser.add_argument("--policies", action="store_true", help="budgets and an A/B test, too")
    args = parser.parse_args()

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tokenwatch.settings")
    import django

    django.setup()
    from demo import history
    from usage.models import UsageRecord

    if UsageRecord.objects.exists() and not args.add:
        print("The ledger has requests already: nothing is added.", file=sys.stderr)
        return
    began, now = time.monotonic(), time.time()

    def progress(stored: int) -> None:
        rate = stored / (time.monotonic() - began)
        print(f"\r{stored:,} requests of history, {rate:,.0f}/s ", end="", flush=True)

    history.fill(history.rows(args.rows, now - args.days * 86_400, now), now, progress)
    print()
    if args.policies:
        add_policies()


def add_policies() -> None:
    """Budgets, none of which blocks, and the A/B test that the history speaks of."""
    from budgets.models import Budget
    from demo import history
    from experiments.models import ABTest

    for name, values in {
        "Everything": {"limit": Decimal(700), "period": "monthly"},
        "Coding agents": {
            "scope": "app",
            "pattern": "coding-*",
            "limit": Decimal(330),
            "period": "monthly",
        },
        "Newsletter": {
            "scope": "app",
            "pattern": "newsletter",
            "unit": "tokens",
            "limit": Decimal(40_000),
            "period": "weekly",
        },
    }.items():
        Budget.objects.get_or_create(name=name, defaults={"action": "warn", **values})
    ABTest.objects.get_or_create(
        name=history.AB_TEST,
        defaults={
            "model_a": "gpt-4o-mini",
            "model_b": "gpt-4o",
            "app": history.AB_APP,
            "api_type": "openai",
        },
    )


if __name__ == "__main__":
    main()
