"""What is wrong with an A/B test that somebody writes down. Pure."""

import unicodedata
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation


@dataclass(frozen=True, slots=True)
class Draft:
    """A test as it was written down; None where the share could not even be read."""

    name: str
    model_a: str
    model_b: str
    share_a: Decimal | None
    """Per cent."""
    app: str = ""
    tag: str = ""
    model: str = ""


def problems(draft: Draft) -> dict[str, str]:
    """What is wrong, by field, each as a sentence that says what to do; empty if all is well."""
    found = {
        "name": _name(draft.name, "Give the test a name."),
        "model_a": _name(draft.model_a, "Name the model of variant A."),
        "model_b": _name(draft.model_b, "Name the model of variant B."),
        "share_a": _share(draft.share_a),
        **{field: _name(getattr(draft, field), "") for field in ("app", "tag", "model")},
    }
    if draft.model_a == draft.model_b and not found["model_b"]:
        found["model_b"] = "Both variants are the same model: there is nothing to compare."
    return {field: problem for field, problem in found.items() if problem}


def share_of(text: str) -> Decimal:
    """A share as people write it, in per cent: ``0.3``, ``30`` and ``30%`` are the same.

    Raises:
        ValueError: it is no number.
    """
    bare = text.strip().removesuffix("%").strip()
    try:
        number = Decimal(bare)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise ValueError(f"{text!r} is no share: 0.5, 50 or 50%")
    is_fraction = 0 < number < 1 and "%" not in text
    return number * 100 if is_fraction else number


def _name(text: str, missing: str) -> str:
    if not text.strip():
        return missing or ("These are only spaces: leave it empty for any." if text else "")
    if text != text.strip():
        return "It begins or ends with a space, which names never do: take it away."
    if any(unicodedata.category(sign).startswith("C") for sign in text):
        return "It holds control characters: take them away."
    return ""


def _share(share: Decimal | None) -> str:
    if share is None:
        return ""
    if not 0 < share < 100:
        return "Both variants need a share: more than 0 and less than 100 per cent."
    if share != round(share, 3):
        return "Give the share of A with at most three decimal places of a per cent."
    return ""
