"""`manage.py oracle_check`: whether the Oracle database has what TokenWatch needs."""

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.db import connection

from tokenwatch.commands import Error, TokenWatchCommand, add_json_option, visible
from tokenwatch.conf import config


class Command(TokenWatchCommand):
    help = "Check what the Oracle database lacks, and say how to put it right."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_json_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        from tokenwatch import oracle_check

        if connection.vendor != "oracle":
            raise Error(
                f"the database is {connection.vendor}: set TOKENWATCH_ORACLE_USER, "
                "TOKENWATCH_ORACLE_PASSWORD and TOKENWATCH_ORACLE_DSN"
            )
        findings = oracle_check.check(config.oracle_user)
        missing = [finding.what for finding in findings if finding.state == "missing"]
        if options["json"]:
            found = [asdict(finding) for finding in findings]
            self.write_json({"ok": not missing, "findings": found})
        else:
            rows = [(finding.what, finding.state, finding.found) for finding in findings]
            self.write_table(("Check", "State", "Found"), rows)
            for finding in findings:
                if finding.fix:
                    self.stdout.write(f"\n{finding.what}:\n  {visible(finding.fix)}")
        if missing:
            raise Error(f"not ready: {', '.join(missing)}")
