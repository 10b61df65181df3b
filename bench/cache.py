"""`python -m bench.cache`: how often the semantic cache is right, and how fast it looks.

Two sets of pairs: fow-cache's 600 questions, and those of tests/cache/data. Each pair is a
cached text and a new one; a *hit* is a paraphrase that is served, a *false hit* a look-alike
that is. Every embedder that is installed is measured. Figures go to bench/CACHE.md. It ends
with status 1 where no embedder is installed; a missed target is shown, and is no failure of
the run. No database and no network are used.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.report import machine
from bench.stats import percentile
from cache.embedders import ONNX, SENTENCE_TRANSFORMERS, Embedder, EmbedderMissing, Matrix, make
from cache.guards import LENIENT, STRICT, judge
from cache.index import REPORTED_WITHIN, Partition, Row
from tests.cache.pairs import Pair, fow_cache, own

RESULTS = Path(__file__).with_name("CACHE.md")
DISTANCES = (0.02, 0.05, 0.08, 0.10, 0.15)
DEFAULT = 0.05
GUARDS = ("off", LENIENT, STRICT)
SIZES = {10_000: 2.0, 100_000: 8.0}
"""Entries in one partition, and the target of the look-up's p95 in milliseconds."""
LOOK_UPS = 300
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

console = Console()


@dataclass(frozen=True, slots=True)
class Rates:
    """Per cent of paraphrases served, and of look-alikes."""

    hits: float
    false: float

    def __str__(self) -> str:
        return f"{self.hits:.1f} / {self.false:.1f}"


@dataclass(frozen=True, slots=True)
class Target:
    what: str
    measured: str
    wanted: str
    met: bool


def main() -> None:
    arguments()
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        os.execve(  # the libraries read these when they are loaded
            sys.executable,
            [sys.executable, "-m", "bench.cache", *sys.argv[1:]],
            {**os.environ, **ONE_THREAD},
        )
    embedders = installed()
    sets = pair_sets()
    quality, vectors = measure_quality(embedders, sets)
    timings = [*embedding_times(embedders), *guard_times(sets)]
    look_ups = look_up_times(vectors)
    targets = [*quality_targets(quality), *look_up_targets(look_ups)]
    text = markdown(quality, targets, timings, look_ups, sets)
    show(quality, targets, timings, look_ups)
    if output := arguments().output:
        output.write_text(text, encoding="utf-8")
        console.print(f"Written to {output}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.cache", description="Measure the semantic cache."
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="file for the results")
    return parser.parse_args()


def installed() -> list[Embedder]:
    found: list[Embedder] = []
    for kind in (ONNX, SENTENCE_TRANSFORMERS):
        try:
            found.append(make(kind))
        except EmbedderMissing as exc:
            console.print(f"Not measured: {exc}")
    if not found:
        raise SystemExit("bench: no embedder is installed")
    return found


def pair_sets() -> dict[str, list[Pair]]:
    try:
        return {"fow-cache": fow_cache(), "own pairs": own()}
    except ModuleNotFoundError:
        console.print("Not measured: the fow-cache package is not installed (make setup-dev)")
        return {"own pairs": own()}


# --- How often it is right -----------------------------------------------------------------

Quality = dict[tuple[str, str, str], dict[float, Rates]]
"""By set, embedder and guards: the rates at each distance."""


def measure_quality(
    embedders: Sequence[Embedder], sets: dict[str, list[Pair]]
) -> tuple[Quality, Matrix]:
    """The rates, and the vectors of all texts for the look-ups' measurement."""
    quality: Quality = {}
    vectors: list[Matrix] = []
    for name, pairs in sets.items():
        served = {level: [serves(pair, level) for pair in pairs] for level in GUARDS}
        for embedder in embedders:
            with console.status(f"{name} by {embedder.id}"):
                a = embedded(embedder, [pair.cached for pair in pairs])
                b = embedded(embedder, [pair.new for pair in pairs])
            vectors += [a, b]
            distances = 1 - (a * b).sum(axis=1)
            for level in GUARDS:
                quality[name, embedder.id, level] = {
                    most: rates(pairs, distances, served[level], most) for most in DISTANCES
                }
    return quality, np.concatenate(vectors)


def serves(pair: Pair, level: str) -> bool:
    return level == "off" or judge(pair.new, pair.cached, level).serve


def embedded(embedder: Embedder, texts: Sequence[str]) -> Matrix:
    batches = [embedder.embed(texts[at : at + 16]) for at in range(0, len(texts), 16)]
    return np.concatenate(batches)


def rates(pairs: Sequence[Pair], distances: Matrix, served: Sequence[bool], most: float) -> Rates:
    hits: dict[bool, int] = {True: 0, False: 0}
    for pair, distance, serve in zip(pairs, distances, served, strict=True):
        hits[pair.same] += bool(serve and distance <= most)
    same = sum(pair.same for pair in pairs)
    return Rates(100 * hits[True] / same, 100 * hits[False] / (len(pairs) - same))


def quality_targets(quality: Quality) -> list[Target]:
    found = []
    for (name, embedder, level), by_distance in quality.items():
        if level != STRICT:
            continue
        at = by_distance[DEFAULT]
        most = 0.5 if name == "fow-cache" else 2.0
        label = f"{name}, {embedder}, defaults"
        if name == "fow-cache":
            found.append(Target(f"{label}: hits", f"{at.hits:.1f} %", "≥ 25 %", at.hits >= 25))
        met = at.false <= most
        found.append(Target(f"{label}: false hits", f"{at.false:.1f} %", f"≤ {most:g} %", met))
    return found


# --- How fast it is ------------------------------------------------------------------------


def times_ms(action: Callable[[int], object], count: int) -> list[float]:
    """What each of ``count`` calls took, in milliseconds, in ascending order."""
    action(0)
    taken = []
    for number in range(count):
        began = time.perf_counter()
        action(number)
        taken.append((time.perf_counter() - began) * 1000)
    return sorted(taken)


def embedding_times(embedders: Sequence[Embedder]) -> list[tuple[str, str]]:
    lines = []
    for embedder in embedders:
        for words in (15, 100, 250):
            text = "word " * words
            taken = times_ms(lambda _, e=embedder, t=text: e.embed([t]), 30)  # type: ignore[misc]
            tokens = embedder.count_tokens(text)
            lines.append((f"{embedder.id}, {tokens} tokens", f"{percentile(taken, 0.5):.1f} ms"))
    return lines


def guard_times(sets: dict[str, list[Pair]]) -> list[tuple[str, str]]:
    pairs = [pair for found in sets.values() for pair in found]
    context = " ".join(pair.cached for pair in pairs[:25])
    lines = []
    for label, before in (("a question each", ""), (f"{len(context.split())} words each", context)):
        for level in (STRICT, LENIENT):
            taken = times_ms(
                lambda i, before=before, level=level: judge(  # type: ignore[misc]
                    before + pairs[i].new, before + pairs[i].cached, level
                ),
                min(len(pairs), 600),
            )
            lines.append((f"guards, {level}, {label}", f"{percentile(taken, 0.5) * 1000:.0f} µs"))
    return lines


LookUps = dict[int, tuple[float, float]]
"""By entries in the partition: p50 and p95 in milliseconds."""


def look_up_times(vectors: Matrix) -> LookUps:
    """The nearest five, up to the distance that the tier asks for, in one partition."""
    random = np.random.default_rng(5)
    found: LookUps = {}
    for size in SIZES:
        with console.status(f"look-ups among {size:,}"):
            partition, rows = filled(vectors, size, random)
            queries = [near(rows[i], random) for i in random.integers(0, size, LOOK_UPS)]
            taken = times_ms(
                lambda i, p=partition, q=queries: p.nearest(  # type: ignore[misc]
                    q[i], 5, REPORTED_WITHIN, 0.0
                ),
                LOOK_UPS,
            )
        found[size] = percentile(taken, 0.5), percentile(taken, 0.95)
    return found


def filled(vectors: Matrix, size: int, random: np.random.Generator) -> tuple[Partition, Matrix]:
    """A partition of mixtures of real vectors, which lie as near to each other as prompts do."""
    first, second = (vectors[random.integers(0, len(vectors), size)] for _ in range(2))
    weights = random.uniform(0.5, 1, (size, 1)), random.uniform(0, 0.6, (size, 1))
    rows = first * weights[0] + second * weights[1] + random.normal(0, 0.02, first.shape)
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    partition = Partition(rows.shape[1])
    for number, row in enumerate(rows):
        partition.put(Row(str(number), row, 1.0, "a prompt of usual length, as people ask"), size)
    return partition, rows


def near(vector: Matrix, random: np.random.Generator) -> Matrix:
    moved = vector + random.normal(0, 0.005, vector.shape)
    unit: Matrix = (moved / np.linalg.norm(moved)).astype(np.float32)
    return unit


def look_up_targets(look_ups: LookUps) -> list[Target]:
    return [
        Target(
            f"look-up among {size:,}, p95",
            f"{p95:.2f} ms",
            f"< {SIZES[size]:g} ms",
            p95 < SIZES[size],
        )
        for size, (_, p95) in look_ups.items()
    ]


# --- How it is shown -----------------------------------------------------------------------

_RATES_HEAD = ("Pairs", "Embedder", "Guards", *(f"≤ {most:.2f}" for most in DISTANCES))
_TARGETS_HEAD = ("Target", "Measured", "Wanted", "Met")
_TIMES_HEAD = ("Time", "p50", "p95")


def rate_rows(quality: Quality) -> list[tuple[str, ...]]:
    return [(*key, *map(str, by_distance.values())) for key, by_distance in quality.items()]


def target_rows(targets: Sequence[Target]) -> list[tuple[str, ...]]:
    return [(one.what, one.measured, one.wanted, "yes" if one.met else "NO") for one in targets]


def time_rows(timings: Sequence[tuple[str, str]], look_ups: LookUps) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [(what, p50, "") for what, p50 in timings]
    for size, (p50, p95) in look_ups.items():
        rows.append((f"look-up among {size:,}", f"{p50:.2f} ms", f"{p95:.2f} ms"))
    return rows


def show(
    quality: Quality,
    targets: Sequence[Target],
    timings: Sequence[tuple[str, str]],
    look_ups: LookUps,
) -> None:
    for head, rows in (
        (_RATES_HEAD, rate_rows(quality)),
        (_TARGETS_HEAD, target_rows(targets)),
        (_TIMES_HEAD, time_rows(timings, look_ups)),
    ):
        table = Table(*head)
        for row in rows:
            table.add_row(*row, style="bold red" if row[-1] == "NO" else None)
        console.print(table)


def markdown(
    quality: Quality,
    targets: Sequence[Target],
    timings: Sequence[tuple[str, str]],
    look_ups: LookUps,
    sets: dict[str, list[Pair]],
) -> str:
    counts = "; ".join(
        f"{name}: {sum(pair.same for pair in pairs)} paraphrases,"
        f" {sum(not pair.same for pair in pairs)} look-alikes"
        for name, pairs in sets.items()
    )
    return "\n".join(
        [
            "# What the semantic cache serves",
            "",
            f"Measured {datetime.now(UTC):%Y-%m-%d} on {machine()}, one thread."
            " `make bench-cache` measures again.",
            "",
            f"Pairs of a cached text and a new one ({counts}). fow-cache is a public benchmark,"
            " whose questions the guards' lists were checked against; our own pairs are those of"
            " `tests/cache/data`, written by kind of difference. Per cent of paraphrases served /"
            " per cent of look-alikes served, by the largest distance allowed:",
            "",
            *_markdown_table(_RATES_HEAD, rate_rows(quality)),
            "",
            f"Defaults: distance ≤ {DEFAULT}, strict guards.",
            "",
            *_markdown_table(_TARGETS_HEAD, target_rows(targets)),
            "",
            "The look-up is that of the nearest five in one partition in memory, up to distance"
            f" {REPORTED_WITHIN}, embedding apart.",
            "",
            *_markdown_table(_TIMES_HEAD, time_rows(timings, look_ups)),
            "",
        ]
    )


def _markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


if __name__ == "__main__":
    main()
