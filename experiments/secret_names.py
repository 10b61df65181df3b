"""Names that announce a secret: of JSON members, variables, headers and form fields. Pure.

A name is read as its words, so that ``apiKey``, ``API_KEY`` and ``x-api-key`` are one, and
``max_tokens``, ``token_count`` and ``tokenizer`` are none.
"""

import re
from functools import lru_cache

LONGEST = 200
"""Characters of a name that are read: its end, where such names say what they are."""

_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_ENDINGS = (
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "secret",
    "secrets",
    "passwords",
    "apikey",
    "apikeys",
    "accesskey",
    "secretkey",
    "privatekey",
    "signingkey",
    "encryptionkey",
    "masterkey",
    "accountkey",
    "sharedkey",
    "subscriptionkey",
    "authkey",
    "sharedaccesskey",
    "connectionstring",
    "connstring",
    "authorization",
    "credential",
    "credentials",
    "passwordhash",
    "seedphrase",
    "cardnumber",
    "creditcard",
)
_LAST_WORDS = frozenset({"cookie", "cookies", "jwt", "bearer", "cvv", "cvc", "otp", "ssn"})
_ORDINARY_TOKENS = frozenset(
    {"pad", "eos", "bos", "unk", "sep", "cls", "mask", "special", "stop", "start", "end", "begin"}
    | {"per", "image", "audio", "text", "input", "output", "word", "sub", "vocab", "new"}
    | {"first", "last", "next", "previous", "page", "continuation"}
)
"""What stands before ``token`` where it is a piece of text or a place in a list."""
_SECRET_TOKENS = frozenset(
    {"access", "auth", "refresh", "bearer", "api", "session", "oauth", "security", "bot"}
)
_JOINED_TOKENS = (*(f"{word}token" for word in sorted(_SECRET_TOKENS)), "idtoken", "csrftoken")
_PASS_OF = frozenset(
    {"db", "database", "smtp", "mysql", "ftp", "redis", "pg", "postgres", "user", "admin", "root"}
)


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether what goes by this name is a secret."""
    words = [word.lower() for word in _WORDS.findall(name[-LONGEST:])]
    while words and words[-1].isdigit():  # PASSWORD_2
        words.pop()
    if not words:
        return False
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last == "token":
        return before not in _ORDINARY_TOKENS
    if last == "tokens":
        return before in _SECRET_TOKENS
    if last == "pass":
        return before in _PASS_OF
    joined = "".join(words[-4:])
    return last in _LAST_WORDS or joined.endswith(_ENDINGS) or joined.endswith(_JOINED_TOKENS)
