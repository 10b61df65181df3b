"""`manage.py start`: the proxy and the dashboard, each on its port."""

import os
import signal
from argparse import ArgumentParser
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from tokenwatch.commands import Error, TokenWatchCommand
from tokenwatch.conf import PREFIX, Config, config

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
        _needs_keys(replace(config, host=host))
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
        if problem := _embedder_problem(config):
            self.stdout.write(f"Cache               for equal requests only: {problem}")
        self.stdout.flush()


def _embedder_problem(settings: Config) -> str:
    """Why similar prompts will not be found, where they are to be; empty if they will."""
    from cache.mode import OFF, mode_of

    if mode_of(settings) == OFF or not settings.cache_semantic:
        return ""
    from cache.embedders import problem

    return problem(settings.embedder)


def _needs_keys(bound: Config) -> None:
    """Other machines must not find a proxy that takes anybody's requests.

    Raises:
        Error: there is no client key, and nobody has said that none is wanted.
    """
    if bound.require_keys != "auto" or not bound.keys_required:
        return
    from django.db import Error as DatabaseProblem

    from access.store import usable_keys

    try:
        count = usable_keys(datetime.now(UTC))
    except DatabaseProblem:
        return  # without its keys the proxy lets nobody in
    if not count:
        raise Error(
            f"{bound.host} is reached by other machines, and there is no client key yet: make one "
            f"with `key create NAME`, or let everybody in with {PREFIX}REQUIRE_KEYS=never"
        )


def _end(*_: Any) -> None:
    raise SystemExit(0)
