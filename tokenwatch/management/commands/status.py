"""`manage.py status`: whether a ``start`` is running here, where, and how it does."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings

from tokenwatch import running
from tokenwatch.commands import TokenWatchCommand, add_json_option
from tokenwatch.conf import config


class Command(TokenWatchCommand):
    help = "Tell whether TokenWatch runs; exit status 0 if it does, else 1."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_json_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        facts = collect(running.read(config.run_file))
        if options["json"]:
            self.write_json(facts)
        else:
            self.write_table(("", ""), describe(facts))
        if facts["status"] != "running":
            sys.exit(1)


def collect(run: running.Run | None) -> dict[str, Any]:
    """The status as ``--json`` prints it; what nobody can tell is None."""
    alive = run is not None and running.is_alive(run.pid)
    report = running.health(run) if run is not None and alive else None
    status = running.judge(run, alive=alive, report=report)
    facts: dict[str, Any] = {
        "status": status,
        "pid": None,
        "proxy_url": None,
        "dashboard_url": None,
        "workers": None,
        "started_at": None,
        "database": database_name(settings.DATABASES["default"]),
        "database_status": None,
        "spool_depth": None,
    }
    if run is not None and status != "not running":
        facts |= {
            "pid": run.pid,
            "proxy_url": run.proxy_url,
            "dashboard_url": run.dashboard_url,
            "workers": run.workers,
            "started_at": run.started_at,
        }
    if report is not None:
        facts |= {
            "database_status": report.get("database"),
            "spool_depth": report.get("spool_depth"),
        }
    return facts


def database_name(database: dict[str, Any]) -> str:
    """Engine and place of a Django database, without user and password."""
    engine = database["ENGINE"].rpartition(".")[2]
    host, port = database.get("HOST"), database.get("PORT")
    place = f"{host}:{port}/" if host and port else f"{host}/" if host else ""
    return f"{engine} {place}{database['NAME']}"


def describe(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """The lines of the table: only what is known."""
    lines = [("Status", facts["status"])]
    if facts["proxy_url"]:
        lines += [
            ("Anthropic base URL", f"{facts['proxy_url']}/anthropic"),
            ("OpenAI base URL", f"{facts['proxy_url']}/openai/v1"),
            ("Dashboard", f"{facts['dashboard_url']}/"),
            ("Workers", f"{facts['workers']}"),
            ("Process", f"{facts['pid']}, since {facts['started_at']:%Y-%m-%d %H:%M:%S} UTC"),
        ]
    state = f" ({facts['database_status']})" if facts["database_status"] else ""
    lines.append(("Database", facts["database"] + state))
    if facts["spool_depth"] is not None:
        lines.append(("Rows waiting", f"{facts['spool_depth']}"))
    return lines
