"""What webhooks are told, when, and where they may go. Pure."""

import hashlib
import hmac
import json
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from budgets.periods import Period
from budgets.refusals import iso
from budgets.scopes import PER_DOLLAR, BudgetSpec

RETRY_AFTER = (15, 60, 300, 1800, 7200)
"""Seconds between an attempt that failed and the next; after the last one it is given up."""
SIGNATURE = "X-TokenWatch-Signature"

_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
"""IPv6 addresses that stand for the IPv4 address in their last 32 bits (RFC 6052, RFC 8215)."""
_COMPATIBLE = IPv6Network("::/96")
"""Likewise, of old (RFC 4291, section 2.5.5.1)."""


def due_event(spec: BudgetSpec, spent: int, told: Collection[str]) -> str | None:
    """The event that a budget's webhook has not been told yet in this period, if there is one.

    Who leaps over both marks at once is told of the limit only.
    """
    if spent >= spec.limit:
        return None if "exceeded" in told else "exceeded"
    if spent >= spec.warns_from and not told:
        return "approaching"
    return None


def payload(spec: BudgetSpec, event: str, spent: int, period: Period) -> str:
    """The JSON that is sent. Amounts are strings, in US dollars or tokens."""
    return json.dumps(
        {
            "version": 1,
            "event": event,
            "budget": spec.name,
            "scope": spec.scope,
            "value": spec.pattern or None,
            "unit": spec.unit,
            "limit": _amount(spec, spec.limit),
            "spent": _amount(spec, spent),
            "action": spec.action,
            "period": spec.period,
            "period_start": iso(period.start),
            "reset": iso(period.end) if period.end is not None else None,
        }
    )


def _amount(spec: BudgetSpec, units: int) -> str:
    if spec.unit == "tokens":
        return str(units)
    dollars, rest = divmod(units, PER_DOLLAR)
    return f"{dollars}.{rest:010d}"


def signature(secret: str, body: bytes, at: int) -> str:
    """The value of the signature header: ``t=<seconds since the epoch>,v1=<hex>``.

    HMAC-SHA256 over time, a dot and the body, as Stripe signs its webhooks
    (https://docs.stripe.com/webhooks#verify-manually): with the time signed, a receiver can
    refuse a message that was recorded and sent again later.
    """
    signed = hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256)
    return f"t={at},v1={signed.hexdigest()}"


def retry_after(attempts: int) -> int | None:
    """Seconds from the last of ``attempts`` to the next; None where it was the last of all."""
    return RETRY_AFTER[attempts - 1] if attempts <= len(RETRY_AFTER) else None


def is_delivered(status: int) -> bool:
    """Whether the receiver took it. A redirect did not, and is not followed."""
    return 200 <= status < 300


def is_final(status: int) -> bool:
    """Whether another attempt is pointless: the receiver is gone for good."""
    return status == 410


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, also in its disguises in IPv6."""
    ip = ip_address(address.partition("%")[0])
    embedded = _embedded(ip) if isinstance(ip, IPv6Address) else None
    if embedded is not None:
        return is_public(str(embedded))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _embedded(ip: IPv6Address) -> IPv4Address | None:
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if ip.sixtofour is not None:
        return ip.sixtofour
    if ip.teredo is not None:
        return ip.teredo[1]
    if ip in _COMPATIBLE or any(ip in network for network in _NAT64):
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return None
