"""Which tag a request gets where its client sent none. Pure; compiled once a snapshot.

Rules are tried by priority, then by age; the first that matches gives the tag. What an app's
name decides is remembered for each app, and the message is read only where a rule that looks
at it could still win.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from routing.patterns import Pattern, any_of, encode

REMEMBERED = 4096
"""Apps whose rule is kept; the memory is emptied past it."""

APP_IS = "tag_app"
APP_CONTAINS = "tag_app_contains"
REGEX = "tag_regex"


@dataclass(frozen=True, slots=True)
class TagSpec:
    """One enabled rule."""

    id: int
    name: str
    priority: int
    """The lowest number is tried first."""
    kind: str
    """tag_app, tag_app_contains or tag_regex."""
    pattern: str
    tag: str


class TagRules:
    """All rules in their order. Not for two threads at once."""

    def __init__(self, specs: Iterable[TagSpec]) -> None:
        """
        Raises:
            PatternError: a regular expression cannot be used.
        """
        self.specs = sorted(specs, key=lambda spec: (spec.priority, spec.id))
        self._by_app = [
            (place, spec) for place, spec in enumerate(self.specs) if spec.kind != REGEX
        ]
        self._by_text = [
            (place, spec, Pattern(spec.pattern))
            for place, spec in enumerate(self.specs)
            if spec.kind == REGEX
        ]
        self._any = any_of([pattern for _, _, pattern in self._by_text])
        self._known: dict[str, int] = {}

    def tag(self, app: str, last_user_text: Callable[[], str]) -> str:
        """The tag of a request; empty where no rule matches."""
        if not self.specs:
            return ""
        found = self.match(app, last_user_text)
        return found.tag if found is not None else ""

    def match(self, app: str, last_user_text: Callable[[], str]) -> TagSpec | None:
        """The rule that gives a request its tag."""
        place = self._of_app(app)
        if self._by_text and self._by_text[0][0] < place:
            found = self._of_text(encode(last_user_text()), before=place)
            if found is not None:
                return found
        return self.specs[place] if place < len(self.specs) else None

    def _of_app(self, app: str) -> int:
        """The place of the first rule for an app; behind the last where there is none."""
        place = self._known.get(app)
        if place is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            matching = (place for place, spec in self._by_app if matches_app(spec, app))
            place = self._known[app] = next(matching, len(self.specs))
        return place

    def _of_text(self, text: bytes, *, before: int) -> TagSpec | None:
        if not text or (self._any is not None and not self._any.searches(text)):
            return None
        for place, spec, pattern in self._by_text:
            if place >= before:
                return None
            if pattern.searches(text):
                return spec
        return None


def matches_app(spec: TagSpec, app: str) -> bool:
    """Whether a rule for apps matches one; upper and lower case are the same."""
    wanted, name = spec.pattern.casefold(), app.casefold()
    return wanted == name if spec.kind == APP_IS else wanted in name
