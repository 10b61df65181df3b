"""Trying an upstream by hand: whether it can be reached, and whether it takes its credential.

``GET /v1/models`` is asked for, which no provider bills; where it does not exist, the answer
still tells that the host is there. How it fails: every outcome is a `Checked`, none raises.
"""

import time
from dataclasses import dataclass

from tokenwatch.conf import Config
from upstreams.candidates import Candidate
from upstreams.dialects.credentials import header
from upstreams.errors import UpstreamError
from upstreams.failures import CREDENTIAL_REFUSED
from upstreams.transport import Transport

PATH = "/v1/models"


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of trying an upstream."""

    ok: bool
    said: str
    """A sentence without its end."""
    status: int | None = None
    milliseconds: int | None = None
    """Until the head of the answer."""


async def check(candidate: Candidate, config: Config) -> Checked:
    """Ask an upstream for its models, with its own credential where it has one."""
    if candidate.problem:
        return Checked(False, candidate.problem)
    transport = Transport(
        connect_timeout=candidate.connect_timeout or config.connect_timeout,
        overall_timeout=min(candidate.overall_timeout or config.overall_timeout, 30.0),
    )
    headers = [(b"accept", b"application/json"), (b"accept-encoding", b"identity")]
    if candidate.api_type == "anthropic":
        headers.append((b"anthropic-version", b"2023-06-01"))
    if candidate.credential:
        headers.append(header(candidate.api_type, candidate.credential))
    began = time.monotonic()
    try:
        exchange = await transport.send("GET", candidate.base_url + PATH, headers, None)
        exchange.close()
    except UpstreamError as exc:
        return Checked(False, f"no answer ({exc})")
    finally:
        await transport.close()
    taken = int((time.monotonic() - began) * 1000)
    ok, said = verdict(exchange.status, own_credential=candidate.credential != "")
    return Checked(ok, said, exchange.status, taken)


def verdict(status: int, *, own_credential: bool) -> tuple[bool, str]:
    """Whether an answer to `PATH` is a good one, and what it says."""
    if status in CREDENTIAL_REFUSED:
        if own_credential:
            return False, "it answers, and refuses the credential"
        return True, "it answers, and asks for a credential as it should"
    if status >= 500 or status == 429:
        return False, "it answers with an error"
    if status >= 400:
        return True, f"it answers, and has no {PATH}: the credential was not tried"
    if own_credential:
        return True, "it answers, and takes the credential"
    return True, "it answers"
