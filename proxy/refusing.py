"""What a client is told where its request is not served: one exception, one answer.

Every answer has the provider's shape; `proxy.relay.refuse` writes it, or breaks off what has
begun.
"""

import time
from typing import Any, NamedTuple

from access.keys import Denied
from budgets.refusals import UNREACHABLE, Refused, Unknown
from proxy.client import Client, TooLarge, TooSlow
from proxy.entry import Limited
from proxy.finish import Ending
from proxy.relay import refuse
from tokenwatch.conf import Config
from upstreams.errors import UpstreamError

TURNED_AWAY = (Denied, Limited, TooLarge, TooSlow, Refused, Unknown, UpstreamError)
"""What the stages of a request raise where it ends without an upstream's answer."""


class Said(NamedTuple):
    """An error of ours."""

    status: int
    code: str
    message: str
    details: dict[str, Any] | None = None
    headers: list[tuple[bytes, bytes]] | None = None


async def turn_away(exc: Exception, ending: Ending, client: Client, config: Config) -> None:
    """Answer a request that raised one of `TURNED_AWAY`."""
    if isinstance(exc, Denied):
        ending.unrecorded = exc.denial.status == 401
    elif isinstance(exc, Refused):
        ending.refusal = exc.refusal
    said = _said(exc, ending, config)
    await refuse(
        ending,
        client,
        said.status,
        said.code,
        said.message,
        details=said.details,
        headers=said.headers,
    )


def _said(exc: Exception, ending: Ending, config: Config) -> Said:
    match exc:
        case Denied(denial=denial):
            return Said(denial.status, denial.code, denial.message, headers=[*denial.headers])
        case Limited(exceeded=over):
            headers = over.headers(ending.call.api_type, time.time())
            return Said(429, over.code, over.message, headers=headers)
        case TooLarge():
            limit = f"TOKENWATCH_MAX_BODY_BYTES ({config.max_body_bytes} bytes)"
            return Said(413, "request_too_large", f"The request body is larger than {limit}.")
        case TooSlow():
            message = "The request body did not arrive within TOKENWATCH_OVERALL_TIMEOUT."
            return Said(408, "request_timeout", message)
        case Refused(refusal=refusal):
            headers = refusal.headers(time.time())
            details = refusal.details()
            return Said(refusal.status, refusal.code, refusal.message, details, headers)
        case Unknown(headers=headers):
            return Said(503, UNREACHABLE, str(exc), headers=headers)
        case UpstreamError(status=status, code=code):
            name = f" {ending.candidate.name}" if ending.candidate else ""
            return Said(status, code, f"Upstream{name}: {exc}")
    raise exc
