"""`manage.py start`: the proxy and the dashboard, each on its port."""

import os
import signal
from argparse import ArgumentParser
from typing import Any

from tokenwatch.commands import Error, TokenWatchCommand
from tokenwatch.conf import PREFIX, config

LOG_LEVELS = ("critical", "error", "warning", "info", "debug")


class Command(TokenWatchCommand):
    help = "Start the proxy and the dashboard."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default=config.host, help="address to listen on")
        parser.add_argument("--proxy-port", type=int, default=config.proxy_port)
        parser.add_argument("--dashboard-port", type=int, default=config.dashboard_port)
        parser.add_argument("--workers", type=int, default=1, help="worker processes")
        parser.add_argument("--log-level", choices=LOG_LEVELS, default="warning")

    def handle(self, *args: Any, **options: Any) -> None:
        from tokenwatch import server

        if options["workers"] < 1:
            raise Error("--workers: expected 1 or more")
        host = options["host"]
        sockets = [
            self._listen(host, options[f"{half}_port"], half) for half in ("proxy", "dashboard")
        ]
        ports = [listener.getsockname()[1] for listener in sockets]
        # The workers read the settings anew: they must agree with what is bound here.
        os.environ[f"{PREFIX}HOST"] = host
        os.environ[f"{PREFIX}PROXY_PORT"], os.environ[f"{PREFIX}DASHBOARD_PORT"] = map(str, ports)
        facts = {
            "host": host,
            "proxy_port": ports[0],
            "dashboard_port": ports[1],
            "workers": options["workers"],
        }
        self._announce(host, ports)
        # The server stops gracefully and then raises the signal again, for us to end by it.
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, _end)
        with server.RunFile(config.run_file, facts):
            server.serve(
                sockets,
                workers=options["workers"],
                log_level=options["log_level"],
                drain_timeout=config.drain_timeout,
            )

    def _listen(self, host: str, port: int, half: str) -> Any:
        from tokenwatch import server

        try:
            return server.listen(host, port)
        except (OSError, OverflowError) as exc:
            raise Error(
                f"cannot listen on {host}:{port} for the {half} ({exc}); "
                f"choose another with --{half}-port or {PREFIX}{half.upper()}_PORT"
            ) from None

    def _announce(self, host: str, ports: list[int]) -> None:
        shown = f"[{host}]" if ":" in host else host
        base = f"http://{shown}:{ports[0]}"
        self.stdout.write(
            f"Anthropic base URL  {base}/anthropic\n"
            f"OpenAI base URL     {base}/openai/v1 (to {config.openai_url}/v1)\n"
            f"Dashboard           http://{shown}:{ports[1]}/"
        )
        self.stdout.flush()


def _end(*_: Any) -> None:
    raise SystemExit(0)
