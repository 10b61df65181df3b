from datetime import date

from rich.console import Console

from bench.closed_loop import LoadResult
from bench.measure import QUICK, Figures, Memory, Pair
from bench.memory import Resident, family
from bench.report import Line, lines, markdown, table
from bench.stats import Spread
from bench.stream_load import StreamResult


def load(per_second: float, p99: float) -> LoadResult:
    return LoadResult(100, 100 / per_second, per_second, Spread(p99 / 2, p99, p99 * 2))


def figures(*, share: float = 0.95, growth: float = 1.0, rows: int = 500, lost: int = 0) -> Figures:
    pairs = [Pair(load(1000, 4.0), load(1000 * share, 5.5))]
    stream = StreamResult(200, 1000, 0, 1.0, Spread(0.5, 2.0, 3.0))
    through = StreamResult(200, 1000 - lost, lost, 1.0, Spread(0.6, 4.9, 6.0))
    memory = Memory({100: Resident(50.0, 60.0), 200: Resident(50.0 + growth, 90.0)}, 900.0)
    hits = [Pair(load(1000, 4.0), load(1000 * (share + 0.1), 5.5))]
    streams = [Pair(stream, through)]
    return Figures(
        pairs, pairs, pairs, pairs, streams, memory, 500, rows, pairs, pairs, pairs, hits, pairs
    )


def line(measured: list[Line], start: str) -> Line:
    return next(line for line in measured if line.what.startswith(start))


def test_what_meets_its_target_says_so() -> None:
    measured = lines(figures())
    assert line(measured, "requests/s, small").difference == "0.95 ×"
    assert line(measured, "requests/s, three").bare == "1,000 without"
    assert line(measured, "requests/s, 200 rules").difference == "0.95 ×"
    assert line(measured, "latency p99, 1 ").difference == "+1.50 ms"
    assert line(measured, "delay per event p99").target == "≤ 5.00 ms"
    assert [line.what for line in measured if line.met is False] == []


def test_what_misses_its_target_says_so() -> None:
    missed = lines(figures(share=0.5, growth=6.0, rows=499, lost=3))
    assert [line.what.partition(",")[0] for line in missed if line.met is False] == [
        "requests/s",
        *["requests/s"] * 6,
        "events lost",
        "own memory after 200 requests",
        "rows lost of 500 answers",
    ]


def test_the_same_lines_stand_in_the_file_and_on_the_terminal() -> None:
    measured = lines(figures())
    written = markdown(measured, QUICK, date(2026, 1, 2))
    console = Console(width=160, record=True, quiet=True)
    console.print(table(measured))
    assert "Measured 2026-01-02" in written
    assert written.count("\n| ") == len(measured) + 1
    assert all(line.what in written for line in measured)


def test_a_process_is_counted_with_its_descendants() -> None:
    assert family(2, {2: 1, 3: 2, 4: 3, 5: 1, 6: 4}) == {2, 3, 4, 6}
