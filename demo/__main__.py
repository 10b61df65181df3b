"""`python -m demo`: TokenWatch with a fake provider behind it and traffic in front of it.

No key and no network are needed. Everything that it writes stays under the data directory's
``demo`` folder. Ctrl-C stops all of it; a TokenWatch that does not start ends it with
status 1 and the reason.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from demo.fake_provider import FakeProvider
from demo.instance import BASE_DIR, Instance, InstanceError
from demo.serving import serve
from demo.traffic import Outcome, Traffic, plan
from tokenwatch.conf import config

DRAIN_SECONDS = 30
console = Console(highlight=False, soft_wrap=True)


def nearby(path: Path) -> Path:
    """A path as one would type it in the checkout."""
    return path.relative_to(BASE_DIR) if path.is_relative_to(BASE_DIR) else path


def introduce(instance: Instance, provider_url: str) -> None:
    """Say what runs where, and what to try next."""
    proxy, dashboard = instance.run.proxy_url, instance.run.dashboard_url
    data, python = nearby(instance.data_dir), nearby(Path(sys.executable))
    manage = f"TOKENWATCH_ENV_FILE= TOKENWATCH_DATA_DIR={data} {python} manage.py"
    body = '{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}'
    console.print(f"""
[bold]The demo runs.[/bold] No key is needed; nothing leaves this machine.

  Fake provider   {provider_url}
  Proxy           {proxy}        /openai/v1 and /anthropic
  Dashboard       {dashboard}/        30 days of history, and what follows live
  Admin           {dashboard}/admin/
  Data            {data}

[bold]Try[/bold]
  See the ledger    {manage} tail
  Add it up         {manage} stats
  Send your own     curl {proxy}/openai/v1/chat/completions \\
                      -H 'Content-Type: application/json' -H 'X-TokenWatch-App: me' \\
                      -d '{body}'

Traffic from six apps follows, about three requests a second. Ctrl-C ends it.
""")


def report(outcome: Outcome) -> None:
    """One line for each answer."""
    planned = outcome.planned
    style = "green" if outcome.status == 200 else "yellow"
    kind = "stream" if planned.body.get("stream") else "whole"
    note = "" if outcome.ended == "whole" else outcome.ended
    if not outcome.expected:
        style, note = "red", f"{note} unexpected"
    console.print(
        f"[dim]{time.strftime('%H:%M:%S')}[/dim]  {planned.app:<14}"
        f"{planned.body['model']:<24}{kind:<8}[{style}]{outcome.status or 'none'}[/{style}]"
        f"  {outcome.seconds:6.2f} s  [{style}]{note}[/{style}]"
    )


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does: in order."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run(limit: int | None, *, history: bool) -> int:
    """Run the demo; the number of requests that ended otherwise than they should."""
    with serve(FakeProvider().app) as provider_url:
        instance = Instance(
            config.data_dir / "demo",
            provider_url,
            host=config.host,
            proxy_port=config.proxy_port,
            dashboard_port=config.dashboard_port,
        )
        instance.manage("migrate", "--verbosity", "0")
        instance.manage("setup_admin")
        if history:
            instance.run_module("demo.fill", "--policies")
        with instance:
            introduce(instance, provider_url)
            traffic = Traffic(instance.run.proxy_url, report)
            asyncio.run(traffic.run(plan(seed=int(time.time())), limit))
            instance.drain(DRAIN_SECONDS)
            console.print(f"\n{traffic.sent} requests, {traffic.unexpected} unexpected ends.")
            return traffic.unexpected


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m demo", description="TokenWatch, tried out.")
    parser.add_argument("--requests", type=int, metavar="N", help="end after N requests")
    parser.add_argument("--no-history", action="store_true", help="begin with an empty ledger")
    args = parser.parse_args()
    if args.requests is not None and args.requests < 1:
        parser.error("--requests: expected 1 or more")
    try:
        with terminable():
            unexpected = run(args.requests, history=not args.no_history)
    except KeyboardInterrupt:
        console.print("\nStopped.")
        return
    except InstanceError as error:
        raise SystemExit(f"demo: {error}") from None
    sys.exit(1 if unexpected else 0)


if __name__ == "__main__":
    main()
