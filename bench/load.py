"""The load generator: raw protocols on uvloop, closed loops or streams.

Prints one JSON object (a `LoadResult` or a `StreamResult`). A wrong answer ends it with
status 1 and the reason, so a number is only ever of right answers.

    python -m bench.load --url http://127.0.0.1:9001/openai/v1/chat/completions \\
        --connections 64 --requests 20000 --exchange small
    python -m bench.load --url … --streams 200 --events 500 --interval-ms 20
"""

import argparse
import asyncio
import json
from dataclasses import asdict

import uvloop

from bench import payloads
from bench.closed_loop import LoadResult, Manner, run_closed_loop
from bench.stream_load import StreamResult, run_streams
from bench.target import LoadError, Target


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--warmup", type=int, default=0, help="requests before the measured ones")
    parser.add_argument("--exchange", choices=sorted(payloads.EXCHANGES), default="small")
    parser.add_argument("--compare", choices=("bytes", "words"), default="bytes")
    parser.add_argument("--header", action="append", default=[], help="name: value")
    parser.add_argument("--streams", type=int, help="measure streams instead of requests")
    parser.add_argument("--events", type=int, default=500, help="a stream")
    parser.add_argument("--interval-ms", type=int, default=20)
    parser.add_argument("--timeout", type=float, default=300, help="seconds for the whole run")
    return parser.parse_args()


async def measure(args: argparse.Namespace) -> LoadResult | StreamResult:
    target = Target.of(args.url)
    if args.streams:
        return await run_streams(target, args.streams, args.events, args.interval_ms)
    exchange = payloads.EXCHANGES[args.exchange]
    manner = Manner(tuple(args.header), args.compare)
    if args.warmup:
        await run_closed_loop(target, exchange, args.connections, args.warmup, manner)
    return await run_closed_loop(target, exchange, args.connections, args.requests, manner)


async def bounded(args: argparse.Namespace) -> LoadResult | StreamResult:
    try:
        return await asyncio.wait_for(measure(args), args.timeout)
    except TimeoutError:
        raise LoadError(f"not done after {args.timeout:g} s") from None


def main() -> None:
    args = arguments()
    try:
        result = uvloop.run(bounded(args))
    except* (LoadError, OSError) as group:  # the streams' come in a group
        raise SystemExit(f"bench.load: {group.exceptions[0]}") from None
    print(json.dumps(asdict(result)))


if __name__ == "__main__":
    main()
