"""`manage.py explain_request`: what is decided for a request, and why."""

import re
import sys
import time
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.text import Text
from rich.tree import Tree

from proxy import imagined
from proxy.explain import Explanation, explain
from proxy.recorded import recorded
from tokenwatch.commands import Error, TokenWatchCommand, add_json_option, visible
from tokenwatch.conf import config
from usage.models import UsageRecord

_ID = re.compile(r"[0-9a-fA-F]{32}")
_OURS = ("app", "tag", "session")


class Command(TokenWatchCommand):
    help = "Show what is decided for a request, imagined or in the ledger, and why."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("request_id", nargs="?", help="a request in the ledger")
        parser.add_argument(
            "--api-type", choices=sorted(imagined.PATHS), help="or an imagined one, of this API"
        )
        parser.add_argument("--body-file", metavar="FILE", help="with this body (-: what is piped)")
        parser.add_argument("--path", default="", help="default: v1/chat/completions, v1/messages")
        parser.add_argument("--method", default="POST")
        parser.add_argument(
            "--header", action="append", default=[], metavar="NAME:VALUE", help="repeatable"
        )
        parser.add_argument("--app", help="what X-TokenWatch-App would say")
        parser.add_argument("--tag", help="what X-TokenWatch-Tag would say")
        parser.add_argument("--session", help="what X-TokenWatch-Session would say")
        parser.add_argument(
            "--at", metavar="TIME", help="when it arrives: 2026-11-28T22:30+01:00 (default: now)"
        )
        add_json_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if bool(options["request_id"]) == bool(options["api_type"]):
            raise Error("name a request's id, or imagine one with --api-type and --body-file")
        if options["request_id"]:
            explanation = _of_the_ledger(options["request_id"])
        else:
            explanation = _imagined(options)
        if options["json"]:
            self.write_json(explanation.as_dict())
        else:
            self.console.print(tree(explanation))


def tree(explanation: Explanation) -> Tree:
    """The stages with their reasons, for a terminal."""
    root = Tree("Request", hide_root=True)
    for stage in explanation.stages:
        label = Text.assemble((f"{stage.name}: ", "bold"), visible(stage.said))
        branch = root.add(label)
        for reason in stage.reasons:
            branch.add(Text(visible(reason), style="dim"))
    return root


def _of_the_ledger(request_id: str) -> Explanation:
    if not _ID.fullmatch(request_id):
        raise Error(f"{request_id!r} is no request id: those are 32 hex digits")
    row = UsageRecord.objects.filter(request_id=request_id.lower()).first()
    if row is None:
        raise Error(
            f"the ledger has no request {request_id}; one is there about a second after its end"
        )
    return recorded(row)


def _imagined(options: dict[str, Any]) -> Explanation:
    if options["body_file"] is None:
        raise Error("say with --body-file what the request's body is (-: what is piped)")
    at = _moment(options["at"])
    body = _body(options["body_file"])
    call = imagined.request(
        options["api_type"],
        body,
        path=options["path"],
        method=options["method"].upper(),
        headers=_headers(options),
        at=at,
    )
    if not call.streams_body and len(body) > config.max_body_bytes:
        raise Error(
            f"such a request gets a 413: its body is larger than TOKENWATCH_MAX_BODY_BYTES "
            f"({config.max_body_bytes} bytes)"
        )
    return explain(call, imagined.world(config, call.api_type, at), imagined.monotonic(at))


def _body(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as exc:
        raise Error(f"body-file: {exc.strerror}: {name}") from None


def _headers(options: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    found = [(b"content-type", b"application/json")]
    for line in options["header"]:
        name, colon, value = line.partition(":")
        if not colon or not name.strip() or not name.isascii():
            raise Error(f"header: {line!r} is none: write NAME:VALUE")
        found.append((name.strip().lower().encode(), value.strip().encode()))
    found += [
        (f"x-tokenwatch-{name}".encode(), options[name].encode("utf-8", "surrogateescape"))
        for name in _OURS
        if options[name] is not None
    ]
    return found


def _moment(text: str | None) -> float:
    if text is None:
        return time.time()
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise Error(
            f"at: {text!r} is no time: write 2026-11-28T22:30, in UTC or with +01:00"
        ) from None
