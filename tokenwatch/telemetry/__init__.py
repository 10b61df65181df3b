"""Traces and metrics for OpenTelemetry: what each request did, told to a collector.

Nothing in here is imported while ``TOKENWATCH_OTEL_ENABLED`` is off (`proxy.services` asks).
A request leaves its facts in a bounded queue (`handover`); a thread makes metrics and spans of
them, others send these. How it fails: whatever the collector does, requests go on as before;
what cannot be told is dropped and counted.

`names`, `context`, `conventions`, `facts`, `sums` and `measures` are pure; only `spans`,
`points`, `export` and `pages` know the SDK.
"""
