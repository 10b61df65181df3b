"""Why an upstream gave no whole answer: the one tree that the proxy knows.

`upstreams.transport` translates aiohttp's exceptions into these, once, where they occur.
What matters to the callers is what may have happened at the provider: `sent` is False only
where not a byte of the request left, so that nothing can have been billed.
"""


class UpstreamError(Exception):
    """Base: no whole answer came. ``code`` is what the ledger and the client are told."""

    code = "upstream_error"
    status = 502
    sent = True


class ConnectFailed(UpstreamError):
    """No connection: refused, unreachable, unknown host, TLS failure. Nothing was sent."""

    code = "upstream_connect"
    sent = False


class ConnectTimeout(UpstreamError):
    """No connection within the connect timeout. Nothing was sent."""

    code = "upstream_connect_timeout"
    status = 504
    sent = False


class Dropped(UpstreamError):
    """The connection was closed after the request was sent and before any answer."""

    code = "upstream_dropped"


class ResponseTimeout(UpstreamError):
    """The overall time was over before the answer was whole."""

    code = "upstream_timeout"
    status = 504


class BadAnswer(UpstreamError):
    """What came back is not HTTP, or a header line is longer than we read."""

    code = "upstream_protocol"


class BrokenBody(UpstreamError):
    """The answer began and did not end: shorter than announced, or cut off."""

    code = "upstream_broken"


class NoUpstream(UpstreamError):
    """Nobody may be asked: the enabled ones have a problem, or a rule names none of them."""

    code = "no_upstream"
    status = 503
    sent = False
