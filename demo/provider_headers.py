"""The headers that the providers send beside an answer; pure, the same for the same request.

https://platform.openai.com/docs/api-reference/debugging-requests and
https://docs.anthropic.com/en/api/rate-limits#response-headers
"""

from demo.call import Call, Headers

DATE = b"Wed, 01 Jan 2025 00:00:00 GMT"
_RESET = b"2025-01-01T00:01:00Z"


def _edge(call: Call) -> Headers:
    """What the network in front of both adds: two cookies among it."""
    cookie = call.hexadecimal(40).encode()
    tail = b"; path=/; HttpOnly; Secure; SameSite=None"
    return [
        (b"server", b"cloudflare"),
        (b"cf-ray", call.hexadecimal(16).encode() + b"-FRA"),
        (b"cf-cache-status", b"DYNAMIC"),
        (b"set-cookie", b"__cf_bm=" + cookie + b"; expires=Wed, 01-Jan-25 00:30:00 GMT" + tail),
        (b"set-cookie", b"_cfuvid=" + cookie[::-1] + tail),
        (b"x-content-type-options", b"nosniff"),
        (b"strict-transport-security", b"max-age=31536000; includeSubDomains; preload"),
    ]


def openai_headers(call: Call) -> Headers:
    remaining = call.random("limits").randint(9000, 9999)
    return [
        (b"date", DATE),
        (b"openai-organization", b"fake-organization"),
        (b"openai-processing-ms", b"%d" % call.random("time").randint(120, 900)),
        (b"openai-project", b"proj_" + call.hexadecimal(24).encode()),
        (b"openai-version", b"2020-10-01"),
        (b"x-request-id", b"req_" + call.hexadecimal(32).encode()),
        (b"x-ratelimit-limit-requests", b"10000"),
        (b"x-ratelimit-limit-tokens", b"2000000"),
        (b"x-ratelimit-remaining-requests", b"%d" % remaining),
        (b"x-ratelimit-remaining-tokens", b"%d" % (remaining * 200)),
        (b"x-ratelimit-reset-requests", b"6ms"),
        (b"x-ratelimit-reset-tokens", b"1ms"),
        *_edge(call),
    ]


def anthropic_headers(call: Call) -> Headers:
    remaining = call.random("limits").randint(3000, 3999)
    return [
        (b"date", DATE),
        (b"request-id", call.ident("req_011C", 20).encode()),
        (b"anthropic-organization-id", b"00000000-0000-4000-8000-000000000000"),
        (b"anthropic-ratelimit-requests-limit", b"4000"),
        (b"anthropic-ratelimit-requests-remaining", b"%d" % remaining),
        (b"anthropic-ratelimit-requests-reset", _RESET),
        (b"anthropic-ratelimit-input-tokens-limit", b"400000"),
        (b"anthropic-ratelimit-input-tokens-remaining", b"%d" % (remaining * 100)),
        (b"anthropic-ratelimit-input-tokens-reset", _RESET),
        (b"anthropic-ratelimit-output-tokens-limit", b"80000"),
        (b"anthropic-ratelimit-output-tokens-remaining", b"%d" % (remaining * 20)),
        (b"anthropic-ratelimit-output-tokens-reset", _RESET),
        *_edge(call),
    ]
