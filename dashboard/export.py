"""The ledger as CSV, streamed: exactly the requests of a view, newest first.

Rows are read page by page in a thread while the answer goes out, so memory does not grow with
their number. How it fails: an error of the database breaks the answer off.
"""

import csv
import io
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.db import close_old_connections

from usage.listing import Cursor, Page, Wanted, page
from usage.models import UsageRecord
from usage.tailing import JSON_FIELDS, as_json

EXTRA = (
    "model_routed",
    "routing_rule",
    "routing_saved",
    "ab_test",
    "ab_variant",
    "saved_cost",
    "finish_reason",
    "service_tier",
    "overhead_ms",
    "method",
)
SIZE = 1_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def columns() -> list[str]:
    return [*JSON_FIELDS, *EXTRA]


def values(record: UsageRecord) -> list[Any]:
    plain = as_json(record)
    extra = (getattr(record, name) for name in EXTRA)
    return [_cell(value) for value in (*plain.values(), *extra)]


async def stream(wanted: Wanted) -> AsyncIterator[str]:
    """The header and then the rows, in pieces."""
    yield _text([columns()])
    cursor: Cursor | None = None
    while True:
        one = await sync_to_async(_page, thread_sensitive=False)(wanted, cursor)
        if one.rows:
            yield _text(values(record) for record in one.rows)
        if one.cursor is None:
            return
        cursor = one.cursor


def _page(wanted: Wanted, cursor: Cursor | None) -> Page:
    try:
        return page(wanted, cursor, SIZE)
    finally:
        close_old_connections()


def _text(rows: Any) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula is quoted: clients choose the names."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def file_name(wanted: Wanted) -> str:
    return f"tokenwatch-requests-{wanted.end:%Y%m%dT%H%M%SZ}.csv"
