"""What the guards say of one candidate."""

from dataclasses import dataclass

STRICT = "strict"
LENIENT = "lenient"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the cached answer may be served, and why.

    ``reason`` is one word for counting. Served: ``equal`` (but for spaces and the like),
    ``wording`` (equal after rewriting), ``lenient``. Refused: ``language``, ``script``,
    ``quoted``, ``number``, ``negation``, ``code``, ``symbol``, ``case``, ``order``, ``name``
    or ``word``. ``detail`` shows what differs, new text first.
    """

    serve: bool
    reason: str
    detail: str = ""
