"""What the comparison says of its peers: figures, reasons, and where they are written."""

import os
import sys
from pathlib import Path

import pytest

from bench import payloads
from bench.closed_loop import LoadResult
from bench.peer_programs import Peer, PeerError, installed, started
from bench.peers import BEGIN, END, Contender, Line, line, markdown, write
from bench.stats import Spread

CORE = min(os.sched_getaffinity(0))


def contender(name: str, *per_second: float, failure: str = "") -> Contender:
    made = Contender(name, "1.2", "http://host", 100, failure=failure)
    made.results = [LoadResult(100, 100 / each, each, Spread(1, 2, 3)) for each in per_second]
    return made


def test_a_share_is_the_median_of_the_rounds_own_ratios() -> None:
    bare = contender("bare", 1000, 2000, 4000)
    peer = contender("peer", 500, 200, 1000)
    assert line(peer, bare) == Line("peer", "1.2", 500, 0.25)


def test_a_peer_that_failed_has_its_reason_and_no_figure() -> None:
    failed = line(contender("peer", 500, failure="HTTP 500"), contender("bare", 1000, 1000))
    assert failed.cells() == ("peer", "1.2", "not measured", "HTTP 500")


def test_an_answer_written_anew_is_right_if_it_says_the_same() -> None:
    answer = payloads.EXCHANGES["small"].answer
    assert payloads.same_words(answer.replace(b'"created":1735689600,', b""), answer)
    assert not payloads.same_words(answer.replace(b"proxy", b"poxy"), answer)
    assert not payloads.same_words(answer.replace(b"tokens", b"tolkiens"), answer)
    assert not payloads.same_words(b"<html>", answer)


def test_the_table_replaces_what_stood_between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "comparison.md"
    page.write_text(f"before\n{BEGIN}old\n{END}\nafter\n")
    table = markdown([Line("peer", "1.2", 500, 0.25)], "2026-01-02", "a machine")
    write(page, table)
    assert page.read_text() == f"before\n{BEGIN}{table}{END}\nafter\n"
    assert "| peer | 1.2 | 500 | 0.250 |" in table


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "comparison.md"
    page.write_text("before\n")
    with pytest.raises(SystemExit, match="lacks the marks"):
        write(page, "table")
    assert page.read_text() == "before\n"


def peer(*command: str) -> Peer:
    return Peer("peer", "peer", "no-such-package", "npm", command, 1)


def test_a_peer_that_ends_at_once_says_its_last_words(tmp_path: Path) -> None:
    dying = peer(sys.executable, "-c", "import sys; sys.exit('no | key')")
    with pytest.raises(PeerError, match="did not start: no / key"):
        with started(dying, tmp_path, "http://upstream", core=CORE):
            pass


def test_a_peer_whose_program_is_missing_says_so(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="did not start: No such file"):
        with started(peer("no-such-program"), tmp_path, "http://upstream", core=CORE):
            pass


def test_a_peer_cannot_be_installed_without_npm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(PeerError, match="no npm"):
        installed(peer(), tmp_path / "peer")
