"""A worker of its own: records rows and prints each id once it is recorded, until it is killed.

Run as ``python -m tests.usage.recorder <spool directory>``.
"""

import sys
from pathlib import Path

import django

django.setup()

from tests.usage.keeping import KeptLedger  # noqa: E402
from tests.usage.samples import usage_row  # noqa: E402


def main() -> None:
    ledger = KeptLedger(Path(sys.argv[1]))
    ledger.start()
    while True:
        row = usage_row()
        ledger.record(row)
        print(row.request_id, flush=True)


if __name__ == "__main__":
    main()
