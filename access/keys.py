"""Client keys: how one looks, where a request carries it, and what it permits. Pure.

A key is 256 random bits, so what is stored of it is its plain SHA-256: nobody can try that many
values, and a slow hash (which is for passwords that people choose) would cost each request what
it costs an attacker. No secret goes into the hash either: one that changed would end every key.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from access.limits import LimitSpec
from tokenwatch.globs import matcher

PREFIX = "tw-"
RANDOM_BYTES = 32
SHOWN = 9
"""Characters of a key that lists show, its prefix among them: 36 of its 256 bits."""

Pairs = list[tuple[bytes, bytes]]

OWN_HEADER = b"x-tokenwatch-key"
"""Carries a key beside the client's own credential for the provider."""
CREDENTIALS = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"})
_CARRIERS = CREDENTIALS | {OWN_HEADER}
_KEY = re.compile(rb"\s*(?:[Bb][Ee][Aa][Rr][Ee][Rr]\s+)?(tw-\S*)\s*")
_SEPARATORS = re.compile(r"[,\s]+")


def digest(key: bytes) -> str:
    """What is stored of a key."""
    return hashlib.sha256(key).hexdigest()


def take(headers: Pairs) -> tuple[bytes, Pairs]:
    """The key that a request carries, and the headers without it; empty where it has none.

    Where a header comes twice, every one is looked at: no key of ours may reach a provider.
    """
    found = b""
    carriers = []
    for pair in headers:
        name, value = pair
        if name in _CARRIERS and (b"tw-" in value or name == OWN_HEADER):
            match = _KEY.fullmatch(value)
            if match is None and name != OWN_HEADER:
                continue
            carriers.append(pair)
            found = found or (match[1] if match else value or b"-")
    if not carriers:
        return b"", headers
    return found, [pair for pair in headers if pair not in carriers]


def names(text: str) -> tuple[str, ...]:
    """The names or patterns of a list that somebody wrote, with commas or spaces between."""
    return tuple(dict.fromkeys(part for part in _SEPARATORS.split(text) if part))


@dataclass(frozen=True, slots=True)
class KeySpec:
    """One key as the hot path sees it."""

    id: int
    name: str
    app: str = ""
    """Stands in the place of what the client says of itself; empty: the client's word counts."""
    tag: str = ""
    models: tuple[str, ...] = ()
    """Names and patterns of what may be asked for; empty: everything."""
    upstreams: tuple[str, ...] = ()
    limit: LimitSpec | None = None
    enabled: bool = True
    expires_at: float | None = None
    """Seconds since the epoch."""
    _tests: tuple[tuple[Callable[[str], bool], ...], ...] = field(
        default=(), init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        tests = tuple(
            tuple(matcher(pattern) for pattern in patterns)
            for patterns in (self.models, self.upstreams)
        )
        object.__setattr__(self, "_tests", tests)

    def allows_model(self, model: str) -> bool:
        return not self.models or any(test(model) for test in self._tests[0])

    def allows_upstream(self, name: str) -> bool:
        return not self.upstreams or any(test(name) for test in self._tests[1])


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a request is not let in."""

    status: int
    code: str
    message: str

    headers = ((b"x-should-retry", b"false"),)
    """SDKs try a 5xx again by themselves, and nothing would have changed."""


class Denied(Exception):
    """A request is not let in, or may not go where it wants to."""

    def __init__(self, denial: Denial) -> None:
        super().__init__(denial.message)
        self.denial = denial


MISSING = Denial(
    401,
    "client_key_missing",
    "This TokenWatch asks for a client key (tw-…). Use it as your SDK's API key, or send it in "
    "X-TokenWatch-Key beside the provider's.",
)
UNKNOWN = Denial(401, "client_key_unknown", "There is no such TokenWatch client key.")
UNREADABLE = Denial(
    503,
    "client_keys_unavailable",
    "The client keys cannot be read yet, as the database does not answer.",
)
FOREIGN_PAGE = Denial(
    403,
    "client_key_missing",
    "A web page of another site has sent this request without any key: TokenWatch does not "
    "lend it the upstream's credential.",
)
NO_CREDENTIAL = Denial(
    503,
    "upstream_credential_missing",
    "This request came with a TokenWatch client key, and no upstream that it may go to has a "
    "credential of its own. Set one in the admin (Upstreams) or by `upstream add --credential`, "
    "or send the provider's key as usual and the TokenWatch key in X-TokenWatch-Key.",
)


def no_model(key: KeySpec, model: str) -> Denial:
    """The refusal of a model that a key may not ask for."""
    said = f"the model {model!r}" if model else "requests that name no model"
    allowed = ", ".join(key.models)
    return Denial(
        403, "model_not_allowed", f"The key {key.name!r} does not allow {said}, only {allowed}."
    )


def no_upstream(key: KeySpec) -> Denial:
    return Denial(
        403,
        "upstream_not_allowed",
        f"The key {key.name!r} allows only these upstreams: {', '.join(key.upstreams)}; none of "
        "them serves this request.",
    )


REMEMBERED = 1024


class KeyRing:
    """All keys, the revoked and expired ones too, by their digest.

    Keys that were found are remembered as they were sent, as long as the ring is in force: the
    hash costs each request more than all the rest.
    """

    def __init__(self, keys: Mapping[str, KeySpec] | Iterable[tuple[str, KeySpec]] = ()) -> None:
        self._keys = dict(keys)
        self._known: dict[bytes, KeySpec] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, key: bytes, now: float) -> KeySpec:
        """The key that was presented.

        Raises:
            Denied: it is unknown, revoked or expired.
        """
        found = self._known.get(key)
        if found is None:
            found = self._keys.get(digest(key))
            if found is None:
                raise Denied(UNKNOWN)
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[key] = found
        if not found.enabled:
            raise Denied(
                Denial(401, "client_key_revoked", f"The client key {found.name!r} is revoked.")
            )
        if found.expires_at is not None and found.expires_at <= now:
            raise Denied(
                Denial(401, "client_key_expired", f"The client key {found.name!r} has expired.")
            )
        return found
