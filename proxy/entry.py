"""Who comes in: client keys, what they permit, and rate limits.

All of it is answered from memory: a key is one hash and one look-up. How it fails: a `Denied`
or a `Limited` is raised before anything is sent, and nothing has been used up then. A worker
that has never read the keys cannot know one, and says so with a 503.
"""

import re
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from access.keys import (
    CREDENTIALS,
    FOREIGN_PAGE,
    MISSING,
    NO_CREDENTIAL,
    UNREADABLE,
    Denial,
    Denied,
    KeySpec,
    no_model,
    no_upstream,
    take,
)
from access.limiter import Ticket
from access.limits import Exceeded
from proxy.call import Call
from proxy.services import Services
from proxy.snapshot import Snapshot
from tokenwatch.conf import is_loopback
from upstreams.candidates import Target

GATED = frozenset({"POST", "PUT", "PATCH"})
"""Methods that may make a provider do something that costs."""

_DOTS = re.compile(r"(?:^|[/\\]|%2f|%5c)(?:\.|%2e){1,2}(?:[/\\]|%2f|%5c|$)", re.IGNORECASE)
BAD_PATH = Denial(
    400,
    "bad_path",
    "The path has a segment of dots: TokenWatch does not send what may lead out of the "
    "upstream's base URL.",
)
_KEY_IN_QUERY = re.compile(r"(?:^|&)[^=&]*=(?:tw-|%74w-|t%77-|tw%2d)", re.IGNORECASE)
IN_QUERY = Denial(
    401,
    "client_key_in_query",
    "Send the TokenWatch client key in a header: addresses are written down in many places.",
)


class Limited(Exception):
    """A rate limit does not admit a request."""

    def __init__(self, exceeded: Exceeded) -> None:
        super().__init__(exceeded.message)
        self.exceeded = exceeded


def let_in(call: Call, snapshot: Snapshot, services: Services) -> None:
    """Take the client key from the request and let it say whose request this is.

    Raises:
        Denied: the key is no good, or there is none where one is needed; or the path leads astray.
    """
    if ("." in call.path or "%2" in call.path) and _DOTS.search(call.path):
        raise Denied(BAD_PATH)
    if call.query and "=" in call.query and _KEY_IN_QUERY.search(call.query):
        raise Denied(IN_QUERY)
    presented, headers = take(call.headers)
    if not presented:
        if services.keys_required:
            raise Denied(MISSING)
        if b"origin" in call.fields:
            _keep_foreign_pages_out(call)
        return
    if snapshot.version < 0:
        raise Denied(UNREADABLE)
    key = snapshot.keys.find(presented, call.arrived)
    call.headers, call.fields, call.key = headers, dict(headers), key
    call.app, call.tag = key.app or call.app, key.tag or call.tag
    services.last_used.seen[key.id] = call.arrived


def _keep_foreign_pages_out(call: Call) -> None:
    """Any page that a browser here has open can send requests to this machine. One that brings
    no credential would be served with the upstream's own."""
    if not CREDENTIALS.isdisjoint(call.fields):
        return
    try:
        host = urlsplit(call.fields[b"origin"].decode("latin-1")).hostname or ""
    except ValueError:
        host = ""
    if not is_loopback(host):
        raise Denied(FOREIGN_PAGE)


def permitted(call: Call, targets: Sequence[Target]) -> Sequence[Target]:
    """Those targets that the request's key allows, and that have a credential for it.

    Raises:
        Denied: none is left.
    """
    key = call.key
    return targets if key is None else _allowed(key, call, targets)


def _allowed(key: KeySpec, call: Call, targets: Sequence[Target]) -> Sequence[Target]:
    if key.models and call.method in GATED:
        asked = targets[0].model
        targets = [target for target in targets if key.allows_model(target.model)]
        if not targets:
            raise Denied(no_model(key, asked))
    if key.upstreams:
        targets = [target for target in targets if key.allows_upstream(target.candidate.name)]
        if not targets:
            raise Denied(no_upstream(key))
    if len(targets) == 1 and targets[0].candidate.credential:  # nearly always
        return targets
    if CREDENTIALS.isdisjoint(call.fields):
        # One that lives on its clients' credentials has none for this request.
        targets = [
            target
            for target in targets
            if target.candidate.credential or not target.candidate.forwards_credential
        ]
        if not targets:
            raise Denied(NO_CREDENTIAL)
    return targets


def count_in(call: Call, snapshot: Snapshot, services: Services) -> Ticket | None:
    """Count the request against its rate limits; None where it has none.

    Raises:
        Limited: one of them does not admit it.
    """
    specs = snapshot.limits.matching(call.app, call.key.limit if call.key is not None else None)
    if not specs:
        return None
    found = services.limiter.admit(specs, call.started)
    if isinstance(found, Exceeded):
        raise Limited(found)
    return found


def limit_tokens(ticket: Ticket, tokens: int) -> None:
    """Count the tokens that a request may use.

    Raises:
        Limited: a limit does not leave as many.
    """
    if exceeded := ticket.take_tokens(tokens, time.monotonic()):
        raise Limited(exceeded)
