"""Credentials at rest: encrypted with a key that is made of the installation's secret.

Fernet (AES-128-CBC with HMAC-SHA256); its key by HKDF-SHA256 (RFC 5869) from
TOKENWATCH_SECRET_KEY, or from the key that was made at the first start. How it fails: what was
encrypted with another key raises `Unreadable`, and the upstream that needs it is left out.
"""

import base64
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class Unreadable(Exception):
    """A stored credential cannot be decrypted."""


def seal(credential: str) -> str:
    """Encrypt a credential for the database."""
    return _fernet(settings.SECRET_KEY).encrypt(credential.encode()).decode()


def unseal(sealed: str) -> str:
    """Decrypt what `seal` made.

    Raises:
        Unreadable: the key is another one, or the text is damaged.
    """
    try:
        return _fernet(settings.SECRET_KEY).decrypt(sealed).decode()
    except (InvalidToken, ValueError) as exc:
        raise Unreadable(
            "its credential cannot be decrypted: TOKENWATCH_SECRET_KEY has changed; "
            "enter the credential again"
        ) from exc


@lru_cache(maxsize=4)
def _fernet(secret: str) -> Fernet:
    key = HKDF(SHA256(), 32, salt=None, info=b"tokenwatch upstream credentials")
    return Fernet(base64.urlsafe_b64encode(key.derive(secret.encode())))
