"""`python -m bench.fill --rows 5000000`: a ledger of any size, with its rollups, to measure on.

It writes into the configured database (see docs/configuration.md), which must be empty of
requests, and ends with status 1 where it is not.
"""

import argparse
import os
import sys
import time


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fill", description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--days", type=int, default=90, help="how far back they reach (90)")
    parser.add_argument("--add", action="store_true", help="also where there are requests already")
    args = parser.parse_args()

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tokenwatch.settings")
    import django

    django.setup()
    from demo import history
    from usage.models import UsageRecord

    if UsageRecord.objects.exists() and not args.add:
        sys.exit("bench.fill: the ledger is not empty; name another database, or --add")
    began, now = time.monotonic(), time.time()

    def progress(stored: int) -> None:
        print(
            f"\r{stored:,} rows, {stored / (time.monotonic() - began):,.0f}/s", end="", flush=True
        )

    history.fill(history.rows(args.rows, now - args.days * 86_400, now), now, progress)
    print()


if __name__ == "__main__":
    main()
