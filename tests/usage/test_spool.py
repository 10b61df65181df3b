"""The spool: lines go in, come out once, survive their worker, and never vanish silently."""

import fcntl
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage.segments import Segment, WorkerLock
from usage.spool import Spool


def line(number):
    return b"\n%d\n" % number


def take_all(spool):
    """Read everything as the writer does; the lines in order of reading."""
    taken = list(spool.memory(10**6))
    spool.memory_stored()
    more = True
    while more:
        more = False
        for segment in spool.segments():
            batch = segment.read(7)
            taken += batch.lines
            spool.advance(segment, batch)
            more = more or not batch.exhausted
    return taken


def files(directory):
    return sorted(path.name for path in directory.iterdir())


def full_disk(monkeypatch):
    """From now on nothing can be written; returns how to make room again."""

    def refuse(fd, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("usage.spool.os.write", refuse)
    return monkeypatch.undo


def test_lines_come_out_as_they_went_in(tmp_path):
    spool = Spool(tmp_path)
    for number in range(100):
        spool.append(line(number))
    assert spool.depth == 100
    assert take_all(spool) == [b"%d" % number for number in range(100)]
    assert spool.depth == 0


def test_a_stored_spool_leaves_no_files(tmp_path):
    spool = Spool(tmp_path, segment_bytes=20)
    for number in range(30):
        spool.append(line(number))
        spool.rotate()
    assert len(files(tmp_path)) > 5
    take_all(spool)
    spool.seal()
    take_all(spool)
    spool.close()
    assert files(tmp_path) == []


def test_what_is_not_stored_waits_for_the_next_start(tmp_path):
    first = Spool(tmp_path)
    first.append(line(1))
    first.close()
    second = Spool(tmp_path)
    assert second.adopt() == 1
    assert second.depth == 1
    assert take_all(second) == [b"1"]
    assert second.depth == 0
    second.close()
    assert files(tmp_path) == []


def test_a_living_workers_lines_are_nobody_elses(tmp_path):
    living, other = Spool(tmp_path), Spool(tmp_path)
    living.append(line(1))
    assert other.adopt() == 0
    assert take_all(living) == [b"1"]


def test_a_dead_workers_lines_are_adopted_once(tmp_path):
    dead = Spool(tmp_path, segment_bytes=1)
    for number in range(3):
        dead.append(line(number))
        dead.rotate()
    dead.close()
    one, two = Spool(tmp_path), Spool(tmp_path)
    assert one.adopt() == 3
    assert two.adopt() == 0
    assert one.adopt() == 0
    assert take_all(one) == [b"0", b"1", b"2"]


def test_an_adopter_that_stops_early_passes_the_rest_on(tmp_path):
    dead = Spool(tmp_path)
    for number in range(20):
        dead.append(line(number))
    dead.close()
    adopter = Spool(tmp_path)
    adopter.adopt()
    (segment, *_) = adopter.segments()
    adopter.advance(segment, segment.read(5))
    assert adopter.depth == 15
    adopter.close()
    last = Spool(tmp_path)
    last.adopt()
    # the first five come again: only the database knows that they are stored
    assert take_all(last) == [b"%d" % number for number in range(20)]


def test_segments_without_a_lock_are_adopted_too(tmp_path):
    (tmp_path / "77-0badcafe-00000003.jsonl").write_bytes(b"\n1\n")
    (tmp_path / "rejected.jsonl").write_bytes(b"garbage\n")
    spool = Spool(tmp_path)
    assert spool.adopt() == 1
    assert take_all(spool) == [b"1"]
    assert "rejected.jsonl" in files(tmp_path)


def test_a_lock_left_alone_is_cleared_away(tmp_path):
    (tmp_path / "77-0badcafe.lock").touch()
    Spool(tmp_path).adopt()
    assert "77-0badcafe.lock" not in files(tmp_path)


def test_a_lock_on_a_removed_file_keeps_nobody_out(tmp_path, monkeypatch):
    """The holder removed the file after this one opened it and before it locked it."""
    path = tmp_path / "1-00000000.lock"
    real = fcntl.flock

    def late(fd, operation):
        path.unlink()
        real(fd, operation)

    monkeypatch.setattr("usage.segments.fcntl.flock", late)
    assert WorkerLock.take(tmp_path, "1-00000000") is None


def test_a_torn_last_line_of_a_dead_worker_is_handed_over(tmp_path):
    dead = Spool(tmp_path)
    dead.append(line(1))
    dead.append(b'\n{"request_id": "to')
    dead.close()
    spool = Spool(tmp_path)
    assert spool.adopt() == 2
    assert take_all(spool) == [b"1", b'{"request_id": "to']


def test_a_line_that_is_being_written_is_left_for_later(tmp_path):
    spool = Spool(tmp_path)
    spool.append(b"\nhal")
    assert take_all(spool) == []
    spool.append(b"f\n")
    assert take_all(spool) == [b"half"]


def test_a_full_disk_keeps_rows_in_memory(tmp_path, monkeypatch):
    spool = Spool(tmp_path, memory_lines=3)
    spool.append(line(0))
    make_room = full_disk(monkeypatch)
    for number in range(1, 6):
        spool.append(line(number))
    assert spool.dropped == 2
    assert spool.depth == 4
    make_room()
    spool.append(line(6))
    assert sorted(take_all(spool)) == [b"\n1\n", b"\n2\n", b"\n3\n", b"0", b"6"]
    assert spool.depth == 0


def test_rows_in_memory_move_to_the_disk_when_there_is_room(tmp_path, monkeypatch):
    spool = Spool(tmp_path)
    make_room = full_disk(monkeypatch)
    spool.append(line(1))
    spool.append(line(2))
    assert spool.spill() == 2
    make_room()
    assert spool.spill() == 0
    assert take_all(spool) == [b"1", b"2"]
    assert spool.depth == 0


def test_a_line_that_was_cut_off_does_not_spoil_the_next(tmp_path, monkeypatch):
    spool = Spool(tmp_path)
    real = os.write
    monkeypatch.setattr("usage.spool.os.write", lambda fd, data: real(fd, data[:3]))
    spool.append(b"\nfirst\n")
    monkeypatch.undo()
    spool.append(b"\nsecond\n")
    assert take_all(spool) == [b"\nfirst\n", b"fi", b"second"]


def test_a_line_recorded_while_its_segment_is_sealed_is_not_lost(tmp_path, monkeypatch):
    """The writer seals, reads to the end and removes, all before the recorder's write."""
    spool = Spool(tmp_path)
    real = os.write
    stored = []

    def overtaken(fd, data):
        monkeypatch.undo()
        real(fd, b"\nbefore\n")
        spool.rotate(idle=True)
        stored.extend(take_all(spool))
        return real(fd, data)

    monkeypatch.setattr("usage.spool.os.write", overtaken)
    spool.append(line(1))
    assert stored == [b"before"]
    assert take_all(spool) == [b"1"]


def test_a_line_recorded_after_the_end_waits_for_the_next_start(tmp_path):
    spool = Spool(tmp_path)
    spool.close()
    spool.append(line(1))
    spool.append(line(2))
    other = Spool(tmp_path)
    assert other.adopt() == 0  # the process that holds it still lives
    assert spool._late_lock is not None
    spool._late_lock.release(remove=False)
    assert other.adopt() == 2
    assert take_all(other) == [b"1", b"2"]


def test_a_full_disk_puts_off_the_next_segment(tmp_path, monkeypatch):
    spool = Spool(tmp_path, segment_bytes=1)
    spool.append(line(1))

    def refuse(path, worker, number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Segment, "create", refuse)
    spool.rotate()
    spool.append(line(2))
    assert take_all(spool) == [b"1", b"2"]


def test_the_depth_is_right_again_after_a_drift(tmp_path, monkeypatch):
    spool = Spool(tmp_path)
    real = os.write
    monkeypatch.setattr("usage.spool.os.write", lambda fd, data: real(fd, data[:4]))
    spool.append(b"\nfirst\n")
    monkeypatch.undo()
    take_all(spool)
    spool.settle(spool.appended)
    spool.append(line(2))
    assert spool.depth == 1


def test_no_line_is_lost_between_recorders_and_rotation(tmp_path):
    """Four threads record while the writer rotates and removes as fast as it can."""
    spool = Spool(tmp_path, segment_bytes=1)
    taken = set()

    def record(first):
        for number in range(first, first + 500):
            spool.append(line(number))

    threads = [threading.Thread(target=record, args=[first]) for first in range(0, 2000, 500)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        spool.rotate()
        taken.update(take_all(spool))
    taken.update(take_all(spool))
    assert taken == {b"%d" % number for number in range(2000)}


def test_an_unwritable_directory_stops_the_start(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        Spool(tmp_path / "file" / "spool")


@given(
    st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"").strip()), max_size=40),
    st.integers(1, 9),
)
def test_batches_join_to_the_whole_file(tmp_path_factory, lines, limit):
    path = tmp_path_factory.mktemp("segment") / "1.jsonl"
    path.write_bytes(b"".join(b"\n" + line + b"\n" for line in lines))
    segment = Segment.adopt(path)
    got = []
    while True:
        batch = segment.read(limit)
        assert len(batch.lines) <= limit
        got += batch.lines
        segment.offset = batch.end
        if batch.exhausted:
            break
    expected = [line for line in lines if line]
    assert got == expected
    assert segment.count_lines() == len(expected)


def test_a_long_line_is_read_whole(tmp_path):
    spool = Spool(tmp_path)
    spool.append(b"\n" + b"x" * 700_000 + b"\n")
    spool.append(line(1))
    assert take_all(spool) == [b"x" * 700_000, b"1"]
