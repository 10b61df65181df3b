"""Images, audio and documents inside bodies: which strings are such, and their hash. Pure.

A stored prompt keeps ``sha256:…`` and the length in their place: the ledger of what was asked
needs to know that it was the same picture, not the picture.
"""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from hashlib import sha256
from typing import Any
from urllib.parse import unquote

DATA_URL = re.compile(
    r"data:([\w.+-]{1,60}/[\w.+-]{1,100})?((?:;[\w=.\"+-]{1,100}){0,5});base64,((?:[A-Za-z0-9+/=_-]|%2[BFbf]|%3[Dd])+)",
    re.IGNORECASE,
)
_BASE64 = re.compile(r"[A-Za-z0-9+/_=\s-]+")
_MAGIC = (
    "iVBORw0KGgo",  # PNG
    "/9j/",  # JPEG
    "R0lGOD",  # GIF
    "UklGR",  # WAV, WebP
    "SUQz",  # MP3
    "T2dnUw",  # Ogg
    "ZkxhQ",  # FLAC
    "JVBERi0",  # PDF
    "UEsDB",  # ZIP, Office
    "AAAAIGZ0eX",  # MP4
    "AAAAGGZ0eX",
    "AAAAHGZ0eX",
)
"""How base64 of common files begins."""
SHORTEST_FILE = 64

_HOLDERS = frozenset({"b64_json", "file_data", "partial_image_b64", "audio_data", "image_data"})
_BESIDE = frozenset({"format", "media_type", "mime_type", "mimeType", "transcript", "expires_at"})


def hashed(encoded: str, media_type: str = "") -> str:
    """``sha256:<hex of the bytes>``, with their type where it is known, and how many they are."""
    compact = "".join(unquote(encoded).split()).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        data = b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (Base64Error, ValueError):
        data = encoded.encode("utf-8", "surrogatepass")
    kind = f"{media_type}, " if media_type else ""
    return f"sha256:{sha256(data).hexdigest()} ({kind}{len(data)} bytes)"


def without_data_urls(text: str) -> str:
    """The text with every base64 data URL as its hash."""
    if "base64," not in text:
        return text
    return DATA_URL.sub(lambda match: hashed(match[3], (match[1] or "").lower()), text)


def is_media(holder: dict[str, Any], name: str, parent: str) -> bool:
    """Whether the member ``name`` of an object is base64 of a file, in any dialect: Anthropic's
    ``source``, OpenAI's ``input_audio``, ``audio``, ``b64_json``, ``file_data`` and generated
    images, Gemini's ``inline_data``."""
    value = holder[name]
    if not isinstance(value, str) or not value or value.startswith(("sha256:", "data:")):
        return False
    if name in _HOLDERS:
        return _BASE64.fullmatch(value) is not None
    if name == "data":
        typed = holder.get("type") == "base64" or parent in ("input_audio", "audio")
        return (typed or not _BESIDE.isdisjoint(holder)) and _BASE64.fullmatch(value) is not None
    if name == "result":
        return holder.get("type") == "image_generation_call"
    if name == "delta":
        return str(holder.get("type", "")).endswith("audio.delta")
    return False


def is_file(text: str) -> bool:
    """Whether a string is nothing but base64 that begins like a common file."""
    return (
        len(text) >= SHORTEST_FILE
        and text.startswith(_MAGIC)
        and _BASE64.fullmatch(text) is not None
    )
