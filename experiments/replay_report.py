"""What a replay found: differences with intervals, how similar the answers are. Pure.

Every prompt was answered by both models, so differences are taken prompt by prompt. Intervals
are of 95 %: for the mean difference Student's t (Montgomery and Runger, Applied Statistics and
Probability for Engineers, section 10-4, the paired t-test), which needs no more than that the
differences are not few.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

CONFIDENCE = 0.95
WORST = 10
BINS = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """One prompt of a run. Money in US dollars, None where a price is unknown."""

    id: int
    request_id: str
    sent: bool
    """It is known what became of it."""
    ok: bool
    """Answered with a status below 300."""
    error: str = ""
    original_cost: Decimal | None = None
    cost: Decimal | None = None
    original_tokens: int | None = None
    tokens: int | None = None
    original_latency_ms: int | None = None
    latency_ms: int | None = None
    similarity: float | None = None
    text_ratio: float | None = None
    json_valid: bool | None = None
    json_equal: bool | None = None
    tools_equal: bool | None = None
    verdict: str = ""
    judge_score: float | None = None

    @property
    def score(self) -> float | None:
        """0 to 1, by what is known best: the judge's score, else the similarity of meaning,
        else of words; 0 for a failure and for tool calls that differ. None: not comparable."""
        if not self.ok:
            return 0.0
        if self.judge_score is not None:
            return self.judge_score
        if self.tools_equal is not None:
            return float(self.tools_equal)
        if self.similarity is not None:
            return max(0.0, self.similarity)
        return self.text_ratio


@dataclass(frozen=True, slots=True)
class Difference:
    """Target minus source over the prompts where both are known."""

    pairs: int
    before: float
    """Mean of the source."""
    after: float
    mean: float
    low: float | None
    """Bounds of the mean difference; None for fewer than two pairs."""
    high: float | None


@dataclass(frozen=True, slots=True)
class Share:
    """How many of those to which a question applies."""

    yes: int
    of: int


@dataclass(frozen=True, slots=True)
class Report:
    """A run in figures."""

    prompts: int
    sent: int
    failed: int
    cost: Decimal
    """Known cost of the target, in US dollars."""
    original_cost: Decimal
    """Known cost of the source, for the prompts that were sent."""
    unpriced: int
    """Sent prompts whose cost is unknown; ``cost`` leaves them out."""
    tokens: int
    original_tokens: int
    cost_difference: Difference | None
    latency_difference: Difference | None
    similarity: tuple[float, float, float, float, float] | None
    """Smallest, lower quartile, median, upper quartile, largest."""
    similarity_by: str
    """``meaning`` (embeddings) or ``words``."""
    histogram: tuple[int, ...]
    """Answers by similarity, in ten equal steps from 0 to 1."""
    json_valid: Share
    json_equal: Share
    tools_equal: Share
    verdicts: dict[str, int]
    score: float | None
    """Mean of the prompts' scores; what ``--fail-under`` looks at."""
    worst: tuple[Outcome, ...]
    errors: dict[str, int]


def report(outcomes: Sequence[Outcome]) -> Report:
    """Sum up a run."""
    sent = [one for one in outcomes if one.sent]
    answered = [one for one in sent if one.ok]
    by = "meaning" if any(one.similarity is not None for one in answered) else "words"
    likeness = [
        value
        for one in answered
        if (value := one.similarity if by == "meaning" else one.text_ratio) is not None
    ]
    scores = [score for one in sent if (score := one.score) is not None]
    ranked = sorted(
        (one for one in sent if one.score is not None), key=lambda one: (one.score, one.id)
    )
    return Report(
        prompts=len(outcomes),
        sent=len(sent),
        failed=len(sent) - len(answered),
        cost=sum((one.cost for one in sent if one.cost is not None), Decimal(0)),
        original_cost=sum(
            (one.original_cost for one in sent if one.original_cost is not None), Decimal(0)
        ),
        unpriced=sum(one.cost is None for one in sent),
        tokens=sum(one.tokens or 0 for one in sent),
        original_tokens=sum(one.original_tokens or 0 for one in sent),
        cost_difference=difference(
            [
                (float(one.original_cost), float(one.cost))
                for one in answered
                if one.original_cost is not None and one.cost is not None
            ]
        ),
        latency_difference=difference(
            [
                (float(one.original_latency_ms), float(one.latency_ms))
                for one in answered
                if one.original_latency_ms is not None and one.latency_ms is not None
            ]
        ),
        similarity=_quartiles(likeness),
        similarity_by=by,
        histogram=_histogram(likeness),
        json_valid=_share([one.json_valid for one in answered]),
        json_equal=_share([one.json_equal for one in answered]),
        tools_equal=_share([one.tools_equal for one in answered]),
        verdicts=_counted([one.verdict for one in answered]),
        score=sum(scores) / len(scores) if scores else None,
        worst=tuple(one for one in ranked[:WORST] if one.score is not None and one.score < 1),
        errors=_counted([one.error for one in sent if not one.ok]),
    )


def difference(pairs: Sequence[tuple[float, float]]) -> Difference | None:
    """The mean of after minus before with its interval; None without pairs."""
    count = len(pairs)
    if not count:
        return None
    before = sum(pair[0] for pair in pairs) / count
    after = sum(pair[1] for pair in pairs) / count
    changes = [pair[1] - pair[0] for pair in pairs]
    mean = sum(changes) / count
    if count < 2:
        return Difference(count, before, after, mean, None, None)
    from scipy.stats import t  # heavy: imported where a report is made

    variance = sum((change - mean) ** 2 for change in changes) / (count - 1)
    margin = float(t.ppf((1 + CONFIDENCE) / 2, count - 1)) * (variance / count) ** 0.5
    return Difference(count, before, after, mean, mean - margin, mean + margin)


def _quartiles(values: Sequence[float]) -> tuple[float, float, float, float, float] | None:
    """By linear interpolation between the ordered values."""
    if not values:
        return None
    ordered = sorted(values)

    def at(share: float) -> float:
        place = share * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (ordered[high] - ordered[low]) * (place - low)

    return ordered[0], at(0.25), at(0.5), at(0.75), ordered[-1]


def _histogram(values: Sequence[float]) -> tuple[int, ...]:
    counts = [0] * BINS
    for value in values:
        counts[min(BINS - 1, max(0, int(value * BINS)))] += 1
    return tuple(counts)


def _share(answers: Sequence[bool | None]) -> Share:
    known = [answer for answer in answers if answer is not None]
    return Share(sum(known), len(known))


def _counted(names: Sequence[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        if name:
            counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))
