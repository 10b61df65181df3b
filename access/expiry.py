"""Until when a key is good, as somebody writes it. Pure."""

import re
from datetime import UTC, datetime, time, timedelta

_SPAN = re.compile(r"(\d{1,5})\s*([hd])")


def parse_expiry(text: str, now: datetime) -> datetime:
    """``30d``, ``12h``, a date (its end, UTC) or a moment in ISO 8601 (UTC where it says none).

    Raises:
        ValueError: with a sentence that says what is wrong.
    """
    text = text.strip()
    if span := _SPAN.fullmatch(text):
        hours = int(span[1]) * (24 if span[2] == "d" else 1)
        found = now + timedelta(hours=hours)
    else:
        try:
            found = datetime.fromisoformat(text)
            if len(text) <= len("2027-01-31"):
                found = datetime.combine(found.date() + timedelta(days=1), time(0), UTC)
        except (ValueError, OverflowError):
            raise ValueError("Write 30d, 12h, or a date as 2027-01-31.") from None
        if found.tzinfo is None:
            found = found.replace(tzinfo=UTC)
    if found <= now:
        raise ValueError("That is over already.")
    return found
