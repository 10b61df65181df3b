"""Where a routing rule sends requests: the model, the upstreams' shares, the fallbacks. Pure."""

import re

Split = tuple[tuple[str, int], ...]
"""Upstreams by name, each with its weight."""

HEAVIEST = 1_000_000
_SEPARATOR = re.compile(r"[,\n]")


def pick(split: Split, point: float) -> tuple[str, ...]:
    """The order in which upstreams are tried: the one that a point falls to, then the others,
    the heaviest first.

    ``point`` is in [0, 1): equal points get equal orders. Each upstream has a part of the line
    as long as its weight, in the order of ``split``; one of weight 0 is never the first.
    """
    if len(split) < 2:
        return tuple(name for name, _ in split)
    left = point * sum(weight for _, weight in split)
    chosen = max(split, key=lambda share: share[1])[0]
    for name, weight in split:
        if left < weight:
            chosen = name
            break
        left -= weight
    behind = sorted((share for share in split if share[0] != chosen), key=lambda share: -share[1])
    return (chosen, *(name for name, _ in behind))


def parse_split(text: str) -> Split:
    """Upstreams as people write them, parted by commas or lines: ``eu=70, us=30``, or ``eu``.

    Raises:
        ValueError: one sentence that says what is wrong.
    """
    split = tuple(_share(part) for part in _parts(text))
    names = [name for name, _ in split]
    if len(set(names)) < len(names):
        raise ValueError("Name each upstream once.")
    if split and not any(weight for _, weight in split):
        raise ValueError("Give at least one upstream a weight above 0.")
    return split


def _share(part: str) -> tuple[str, int]:
    name, equals, weight = part.rpartition("=")
    if not equals:
        return part, 1
    name, weight = name.strip(), weight.strip()
    if not (weight.isascii() and weight.isdigit() and int(weight) <= HEAVIEST) or not name:
        raise ValueError(
            f"{part!r} is no upstream with its weight: write eu=70, the weight being a whole "
            f"number up to {HEAVIEST:,}."
        )
    return name, int(weight)


def written(split: Split) -> str:
    """A split as `parse_split` reads it."""
    if len(split) == 1:
        return split[0][0]
    return ", ".join(f"{name}={weight}" for name, weight in split)


def parse_models(text: str) -> tuple[str, ...]:
    """Models as people write them, parted by commas or lines, in the order they are tried.

    Raises:
        ValueError: one sentence that says what is wrong.
    """
    models = tuple(_parts(text))
    if len(set(models)) < len(models):
        raise ValueError("Name each model once.")
    return models


def _parts(text: str) -> list[str]:
    parts = [part for raw in _SEPARATOR.split(text) if (part := raw.strip())]
    if not all(part.isprintable() for part in parts):  # names go into headers
        raise ValueError("Give names in printable characters.")
    return parts
