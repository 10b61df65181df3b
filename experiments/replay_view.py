"""A replay's report for people and for programs. Pure but for the texts that it is handed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from experiments.replay_report import Difference, Outcome, Report, Share

BAR = 40


@dataclass(frozen=True, slots=True)
class Worst:
    """One of the prompts whose answers agree least, with what differs."""

    outcome: Outcome
    lines: Sequence[str]


def figures(report: Report, source: str, target: str) -> list[tuple[str, str, str, str]]:
    """Rows of a table: what, the source's, the target's, and the difference."""
    rows = [
        ("Model", source, target, ""),
        ("Prompts sent", "", f"{report.sent:,} of {report.prompts:,}", ""),
        ("Failed", "", f"{report.failed:,}", ""),
        ("Tokens", f"{report.original_tokens:,}", f"{report.tokens:,}", ""),
        ("Cost", f"${report.original_cost:.6f}", f"${report.cost:.6f}", ""),
    ]
    if report.unpriced:
        rows.append(("Unpriced", "", f"{report.unpriced:,}", ""))
    rows.append(_row("Cost a prompt", report.cost_difference, "${:.6f}", "{:+.6f}"))
    rows.append(_row("Latency, ms", report.latency_difference, "{:,.0f}", "{:+,.0f}"))
    if report.similarity is not None:
        low, lower, median, upper, high = report.similarity
        text = f"{median:.3f} ({lower:.3f} to {upper:.3f}; all {low:.3f} to {high:.3f})"
        rows.append((f"Similarity by {report.similarity_by}, median", "", text, ""))
    for what, share in (
        ("Valid JSON", report.json_valid),
        ("Equal JSON", report.json_equal),
        ("Equal tool calls", report.tools_equal),
    ):
        if share.of:
            rows.append((what, "", f"{share.yes:,} of {share.of:,}", ""))
    for verdict, number in report.verdicts.items():
        rows.append((f"Judged {verdict}", "", f"{number:,}", ""))
    if report.score is not None:
        rows.append(("Score", "", f"{report.score:.3f}", ""))
    return rows


def _row(what: str, found: Difference | None, value: str, change: str) -> tuple[str, str, str, str]:
    if found is None:
        return what, "unknown", "unknown", ""
    bounds = ""
    if found.low is not None and found.high is not None:
        bounds = f" (95 %: {change.format(found.low)} to {change.format(found.high)})"
    return (
        f"{what} ({found.pairs:,} pairs)",
        value.format(found.before),
        value.format(found.after),
        change.format(found.mean) + bounds,
    )


def bars(histogram: Sequence[int]) -> list[tuple[str, str, str]]:
    """The distribution of similarity: range, number, bar."""
    most = max(histogram, default=0)
    if not most:
        return []
    step = 1 / len(histogram)
    return [
        (
            f"{number * step:.1f} to {(number + 1) * step:.1f}",
            f"{count:,}",
            "█" * -(-count * BAR // most),
        )
        for number, count in enumerate(histogram)
    ]


def as_dict(report: Report, run: dict[str, Any], worst: Sequence[Worst]) -> dict[str, Any]:
    """For programs: money as text with 10 decimals, an unknown figure as null."""
    values = asdict(report)
    for name in ("cost", "original_cost"):
        values[name] = f"{values[name]:.10f}"
    for name in ("json_valid", "json_equal", "tools_equal"):
        share: Share = getattr(report, name)
        values[name] = {"yes": share.yes, "of": share.of}
    values["similarity"] = _named(report.similarity)
    values["worst"] = [{**_plain(asdict(one.outcome)), "diff": list(one.lines)} for one in worst]
    return {"run": run, **values}


def _named(quartiles: tuple[float, ...] | None) -> dict[str, float] | None:
    names = ("smallest", "lower_quartile", "median", "upper_quartile", "largest")
    return None if quartiles is None else dict(zip(names, quartiles, strict=True))


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {k: f"{v:.10f}" if isinstance(v, Decimal) else v for k, v in values.items()}
