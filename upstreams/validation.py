"""What is wrong with an upstream that somebody writes down. Pure: texts in, sentences out."""

import ipaddress
import json
import re

LONGEST = 1000
"""Bytes of a credential; encrypted, it must fit into its column."""
LONGEST_NAME = 200
"""Characters of a model's name, as in the ledger."""
_NUMERIC = re.compile(r"(?:0x[0-9a-f]*|\d+)(?:\.(?:0x[0-9a-f]*|\d+)){0,3}")
_METADATA = "A cloud's metadata service is no provider."
_METADATA_HOSTS = frozenset(
    {"metadata.google.internal", "metadata", "100.100.100.200", "fd00:ec2::254"}
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PRINTABLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


def credential_problem(credential: str) -> str:
    """Why a credential cannot be sent in a header; empty where it can."""
    if len(credential.encode()) > LONGEST:
        return f"A credential has at most {LONGEST} bytes."
    if credential and not _PRINTABLE.fullmatch(credential):
        return "A credential is one line of printable ASCII, without spaces around it."
    return ""


def variable_problem(name: str, reserved: frozenset[str]) -> str:
    """Why an environment variable cannot be named as a credential; ``reserved`` are settings."""
    if name and not _VARIABLE.fullmatch(name):
        return "Not the name of an environment variable."
    if name in reserved:
        return "This is a setting of TokenWatch's own: it must not be sent to a provider."
    return ""


def host_problem(host: str) -> str:
    """Why no upstream can be at a host; empty where one can.

    Private addresses are fine: models run on machines of one's own. But the services that tell
    a cloud's machines their credentials are no providers, and answer to whoever asks.
    """
    name = host.rstrip(".").lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        if _NUMERIC.fullmatch(name):  # systems read 0xa9fea9fe as an address too
            return "Write the address as four decimal numbers with dots between."
        return _METADATA if name in _METADATA_HOSTS else ""
    mapped = getattr(address, "ipv4_mapped", None) or address
    if mapped.is_link_local or str(mapped) in _METADATA_HOSTS:
        return _METADATA
    if mapped.is_unspecified or mapped.is_multicast:
        return "Nobody answers at this address."
    return ""


def read_models(text: str) -> dict[str, str]:
    """A model-name map from its JSON; empty text is an empty map.

    Raises:
        ValueError: with a sentence that says what is wrong.
    """
    if not text.strip():
        return {}
    try:
        found = json.loads(text)
    except ValueError as exc:
        raise ValueError(f"Not JSON: {exc}.") from None
    if not isinstance(found, dict):
        raise ValueError('Write a JSON object: {"gpt-4o": "the name there"}.')
    for name, there in found.items():
        if not (isinstance(there, str) and name.strip() and there.strip()):
            raise ValueError("Every name and what it stands for is a text that is not empty.")
        if len(name) > LONGEST_NAME or len(there) > LONGEST_NAME:
            raise ValueError(f"A model's name has at most {LONGEST_NAME} characters.")
    return found
