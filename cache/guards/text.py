"""Texts as tokens, and the first questions about them: which signs, which language. Pure.

Normalising touches only what carries no meaning: kinds of spaces, quotation marks and
dashes, full-width letters. It is not NFKC, which would make one of ``x²`` and ``x2``.
"""

import re
import unicodedata

from cache.guards.words import ENGLISH, NOT_ENGLISH, RATHER_ENGLISH

_SIGNS = {
    **dict.fromkeys(map(ord, "‘’ʼ′＇"), "'"),
    **dict.fromkeys(map(ord, "“”„″＂«»"), '"'),
    **dict.fromkeys(map(ord, "‐‑"), "-"),
    **dict.fromkeys(map(ord, "\u00a0\u2002\u2003\u2007\u2009\u202f\u3000"), " "),
    **dict.fromkeys(map(ord, "\u200b\u2060\ufeff\u00ad"), ""),
    **{0xFF01 + i: chr(0x21 + i) for i in range(94)},
    ord("…"): "...",
}
_SPACES = re.compile(r"[ \t]+")
_BLANK_LINES = re.compile(r"\n{2,}")
_THOUSANDS = re.compile(r"(?<![\w.,(\[{/-])\d{1,3}(?:,\d{3})+(?![\w,)\]}])")

TOKEN = re.compile(
    r"""
      "[^"\n]*" | `[^`\n]*` | (?<!\w)'[^'\n]*'(?!\w)         # quoted: verbatim
    | (?<!\S)--?\w[\w-]*                                     # -5, -rf, --all
    | \w+ (?: [.@'/:-] (?=\w) \w+ )* (?: (?<=s)'(?!\w) )?    # a word; don't, 3.5, wi-fi, a.txt
    | \.{2,} | [=<>!+*/&|^~%-]{2,} | \n
    | \S                                                      # any other sign, by itself
    """,
    re.VERBOSE,
)


def normalised(text: str) -> str:
    """The text without differences that nobody can mean."""
    text = text if text.isascii() else unicodedata.normalize("NFC", text).translate(_SIGNS)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\n" not in text:
        text = text.strip()
        head, colon, rest = text.partition(":")
        return text if '"' in head or "`" in head else _SPACES.sub(" ", head) + colon + rest
    # In lines, what stands before the first sign may be the indentation of code.
    lines = (line.rstrip() for line in text.strip("\n").rstrip().split("\n"))
    return _BLANK_LINES.sub("\n", "\n".join(lines))


def without_thousands(text: str) -> str:
    """``1,000`` as ``1000``, where it is no list of numbers."""
    return _THOUSANDS.sub(lambda found: found[0].replace(",", ""), text) if "," in text else text


def is_english(words: list[str]) -> bool:
    """Whether the lists are made for this text; without a sign of it, they are not."""
    known = set(words)
    if not known.isdisjoint(NOT_ENGLISH):
        return False
    return not known.isdisjoint(ENGLISH) or len(known & RATHER_ENGLISH) > 1


def scripts(text: str) -> set[str]:
    """The scripts of the letters, by the first word of their Unicode names."""
    letters = {char for char in text if char.isalpha()}
    return {unicodedata.name(char, "?").split()[0] for char in letters}
