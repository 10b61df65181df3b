"""The spool: lines go in, come out once, survive their worker, and never vanish silently."""

import fcntl
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.usage.samples import usage_row
from usage import lines
from usage.backlog import Backlog, depth
from usage.drain import Drain
from usage.rows import UsageRow
from usage.segments import Segment, WorkerLock
from usage.spool import Spool


def line(number):
    return b"\n%d\n" % number


def take_all(backlog, limit=7):
    """Read everything as the storing process does; the lines in order of reading."""
    taken = []
    rounds = 2  # in the second, workers that were found dead in the first are done with
    while rounds:
        more = False
        rounds -= 1
        backlog.refresh()
        for source in backlog.sources:
            for segment in list(source.segments):
                batch = segment.read(limit)
                taken += batch.lines
                source.advance(segment, batch)
                if not batch.exhausted:
                    more = True
                    break
        backlog.forget_finished()
        rounds = 2 if more else rounds
    return taken


@pytest.fixture
def backlog(tmp_path):
    ticks = iter(range(10**9))
    return Backlog(tmp_path, clock=lambda: float(next(ticks)))  # looks for the dead each time


def files(directory):
    return sorted(path.name for path in directory.iterdir())


def full_disk(monkeypatch):
    """From now on nothing can be written; returns how to make room again."""

    def refuse(fd, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("usage.spool.os.write", refuse)
    return monkeypatch.undo


def test_lines_come_out_as_they_went_in(tmp_path, backlog):
    spool = Spool(tmp_path)
    for number in range(100):
        spool.append(line(number))
    assert spool.pending == depth(tmp_path) == 100
    assert take_all(backlog) == [b"%d" % number for number in range(100)]
    assert spool.pending == depth(tmp_path) == 0


def test_a_stored_spool_leaves_no_files(tmp_path, backlog):
    spool = Spool(tmp_path, segment_bytes=20)
    for number in range(30):
        spool.append(line(number))
    assert len(files(tmp_path)) > 5
    take_all(backlog)
    assert len(files(tmp_path)) == 2  # the lock and the segment that is written to
    spool.close()
    take_all(backlog)
    assert files(tmp_path) == []


def test_what_is_not_stored_waits_for_the_next_reader(tmp_path, backlog):
    first = Spool(tmp_path)
    first.append(line(1))
    first.close()
    assert depth(tmp_path) == 1
    assert take_all(backlog) == [b"1"]
    assert files(tmp_path) == []


def test_lines_are_read_while_their_worker_lives(tmp_path, backlog):
    spool = Spool(tmp_path)
    spool.append(line(1))
    assert take_all(backlog) == [b"1"]
    assert backlog.has_living
    spool.append(line(2))
    assert take_all(backlog) == [b"2"]
    spool.close()
    take_all(backlog)
    assert not backlog.has_living


def test_a_reader_goes_on_where_the_one_before_stopped(tmp_path, backlog):
    spool = Spool(tmp_path, segment_bytes=30)
    for number in range(40):
        spool.append(line(number))
    backlog.refresh()
    (source,) = backlog.sources
    first, second, *_ = source.segments
    seen = []
    for segment, limit in ((first, 100), (second, 3)):
        batch = segment.read(limit)
        seen += batch.lines
        source.advance(segment, batch)
    assert seen + take_all(Backlog(tmp_path)) == [b"%d" % number for number in range(40)]
    assert depth(tmp_path) == 0


def test_the_first_lines_a_reader_finds_may_be_stored_already(tmp_path, backlog):
    """The one before may have died between its commit and the meter."""
    spool = Spool(tmp_path)
    spool.append(line(1))
    backlog.refresh()
    (source,) = backlog.sources
    assert source.unsure
    take_all(backlog)
    assert not source.unsure


def test_a_meter_that_a_power_cut_left_behind_is_not_believed(tmp_path):
    spool = Spool(tmp_path)
    spool.append(line(1))
    spool._counts[4:6] = memoryview(bytes(16)).cast("Q")
    spool._counts[4], spool._counts[5] = 1, 10_000  # behind the end of the file
    assert take_all(Backlog(tmp_path)) == [b"1"]


def test_segments_without_a_lock_are_read_too(tmp_path, backlog):
    (tmp_path / "77-0badcafe-00000003.jsonl").write_bytes(b"\n1\n")
    (tmp_path / "rejected.jsonl").write_bytes(b"garbage\n")
    backlog.refresh()
    assert backlog.depth == 1
    assert take_all(backlog) == [b"1"]
    assert files(tmp_path) == ["rejected.jsonl"]


def test_segments_with_an_empty_lock_are_read_too(tmp_path, backlog):
    (tmp_path / "77-0badcafe-00000003.jsonl").write_bytes(b"\n1\n\n2\n")
    (tmp_path / "77-0badcafe.lock").touch()
    backlog.refresh()
    assert backlog.depth == 2
    assert take_all(backlog) == [b"1", b"2"]
    assert files(tmp_path) == []


def test_a_lock_left_alone_is_cleared_away(tmp_path, backlog):
    (tmp_path / "77-0badcafe.lock").touch()
    take_all(backlog)
    assert files(tmp_path) == []


def test_a_worker_that_is_just_beginning_is_left_alone(tmp_path, backlog):
    lock = WorkerLock.take(tmp_path, "77-0badcafe")
    assert lock is not None
    take_all(backlog)
    assert files(tmp_path) == ["77-0badcafe.lock"]
    lock.meter()
    take_all(backlog)
    assert files(tmp_path) == ["77-0badcafe.lock"]


def test_segments_that_somebody_removes_hold_nothing_up(tmp_path, backlog):
    spool = Spool(tmp_path)
    spool.append(line(1))
    backlog.refresh()
    for path in tmp_path.glob("*.jsonl"):
        path.unlink()
    take_all(backlog)
    spool.close()
    take_all(backlog)
    assert files(tmp_path) == []


def test_a_lock_on_a_removed_file_keeps_nobody_out(tmp_path, monkeypatch):
    """The holder removed the file after this one opened it and before it locked it."""
    path = tmp_path / "1-00000000.lock"
    real = fcntl.flock

    def late(fd, operation):
        path.unlink()
        real(fd, operation)

    monkeypatch.setattr("usage.segments.fcntl.flock", late)
    assert WorkerLock.take(tmp_path, "1-00000000") is None


def test_a_torn_last_line_of_a_dead_worker_is_handed_over(tmp_path, backlog):
    dead = Spool(tmp_path)
    dead.append(line(1))
    dead.append(b'\n{"request_id": "to')
    take_all(backlog)
    dead.close()
    assert take_all(backlog) == [b'{"request_id": "to']


def test_a_line_that_is_being_written_is_left_for_later(tmp_path, backlog):
    spool = Spool(tmp_path)
    spool.append(b"\nhal")
    assert take_all(backlog) == []
    spool.append(b"f\n")
    assert take_all(backlog) == [b"half"]


def test_a_full_disk_keeps_rows_in_memory(tmp_path, monkeypatch, backlog):
    spool = Spool(tmp_path, memory_lines=3)
    spool.append(line(0))
    make_room = full_disk(monkeypatch)
    for number in range(1, 6):
        spool.append(line(number))
    assert (spool.dropped, spool.in_memory, spool.pending, depth(tmp_path)) == (2, 3, 4, 4)
    make_room()
    spool.append(line(6))
    assert take_all(backlog) == [b"0", b"6"]
    assert spool.take_memory(2) == [line(1), line(2)]
    spool.put_back([line(1), line(2)])
    assert spool.take_memory(9) == [line(1), line(2), line(3)]
    assert spool.pending == 0


def test_rows_in_memory_move_to_the_disk_when_there_is_room(tmp_path, monkeypatch, backlog):
    spool = Spool(tmp_path)
    make_room = full_disk(monkeypatch)
    spool.append(line(1))
    spool.append(line(2))
    assert spool.spill() == 2
    make_room()
    assert spool.spill() == 0
    assert take_all(backlog) == [b"1", b"2"]
    assert spool.pending == 0


def test_a_line_that_was_cut_off_does_not_spoil_the_next(tmp_path, monkeypatch, backlog):
    spool = Spool(tmp_path)
    real = os.write
    monkeypatch.setattr("usage.spool.os.write", lambda fd, data: real(fd, data[:3]))
    spool.append(b"\nfirst\n")
    monkeypatch.undo()
    spool.append(b"\nsecond\n")
    assert take_all(backlog) == [b"fi", b"second"]
    assert spool.take_memory(9) == [b"\nfirst\n"]


def test_a_line_written_while_its_segment_ends_is_not_lost(tmp_path, monkeypatch, backlog):
    """Another thread ends the segment, and it is read and removed, all before the write."""
    spool = Spool(tmp_path, segment_bytes=10)
    real = os.write
    stored = []

    def overtaken(fd, data):
        monkeypatch.undo()
        spool.append(b"\nlong enough\n")
        stored.extend(take_all(backlog))
        return real(fd, data)

    monkeypatch.setattr("usage.spool.os.write", overtaken)
    spool.append(line(1))
    assert stored == [b"long enough"]
    assert take_all(backlog) == [b"1"]


def test_a_line_recorded_after_the_end_is_stored_later(tmp_path, backlog):
    spool = Spool(tmp_path)
    spool.close()
    take_all(backlog)
    spool.append(line(1))
    spool.append(line(2))
    assert take_all(backlog) == [b"1", b"2"]
    assert backlog.has_living  # until its process ends
    spool.close()
    take_all(backlog)
    assert files(tmp_path) == []


def test_a_full_disk_puts_off_the_next_segment(tmp_path, monkeypatch, backlog):
    spool = Spool(tmp_path, segment_bytes=1)

    def refuse(path, number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Segment, "create", refuse)
    spool.append(line(1))
    spool.append(line(2))
    assert take_all(backlog) == [b"1", b"2"]


def test_the_count_is_right_again_after_a_drift(tmp_path, monkeypatch, backlog):
    spool = Spool(tmp_path)
    spool.append(b"\n \n")  # counted, and nothing to store
    take_all(backlog)
    assert spool.pending == 1
    (source,) = backlog.sources
    source.settle(1)
    assert spool.pending == 0
    spool.append(line(2))
    source.settle(1)  # something came meanwhile
    assert spool.pending == 1


def test_no_line_is_lost_between_recorders_and_reader(tmp_path, backlog):
    """Four threads record into ever new segments, which are read and removed at once."""
    spool = Spool(tmp_path, segment_bytes=1)
    taken = set()

    def record(first):
        for number in range(first, first + 500):
            spool.append(line(number))

    threads = [threading.Thread(target=record, args=[first]) for first in range(0, 2000, 500)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        taken.update(take_all(backlog))
    taken.update(take_all(backlog))
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
    segment = Segment.open(path, 1)
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


def test_a_long_line_is_read_whole(tmp_path, backlog):
    spool = Spool(tmp_path)
    spool.append(b"\n" + b"x" * 700_000 + b"\n")
    spool.append(line(1))
    assert take_all(backlog) == [b"x" * 700_000, b"1"]


def removed(directory):
    for path in directory.iterdir():
        path.unlink()


@pytest.mark.parametrize("with_directory", [False, True])
@pytest.mark.parametrize("looked_meanwhile", [False, True])
def test_rows_whose_files_are_removed_are_recorded_again(
    tmp_path, backlog, with_directory, looked_meanwhile
):
    spool = Spool(tmp_path)
    stored = [b"1", b"2"]
    for text in stored:
        spool.append(b"\n%b\n" % text)
    assert take_all(backlog) == stored
    spool.append(line(3))
    removed(tmp_path)
    if with_directory:
        tmp_path.rmdir()
    elif looked_meanwhile:
        stored = [b"3"] * len(take_all(backlog))
    spool.append(line(4))
    spool.refound()
    spool.append(line(5))
    assert set(take_all(backlog)) | set(stored) >= {b"3", b"4", b"5"}
    assert spool.pending == 0


def test_files_that_are_in_place_are_gone_on_with(tmp_path):
    spool = Spool(tmp_path)
    before = files(tmp_path)
    spool.refound()
    spool.append(line(1))
    assert files(tmp_path) == before


def test_a_spool_that_cannot_begin_anew_keeps_no_descriptors(tmp_path, monkeypatch):
    spool = Spool(tmp_path)
    spool.close()

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("usage.spool.Segment.create", refuse)
    spool.append(line(0))
    descriptors, names = len(os.listdir("/proc/self/fd")), files(tmp_path)
    for number in range(20):
        spool.append(line(number))
    assert (len(os.listdir("/proc/self/fd")), files(tmp_path)) == (descriptors, names)
    assert spool.in_memory == 21


@pytest.mark.parametrize("garbage", ["1-00000000-00000001.jsonl", "2-00000000.lock"])
def test_one_workers_unreadable_files_hold_up_nobody_else(tmp_path, backlog, garbage, caplog):
    (tmp_path / garbage).mkdir()
    spool = Spool(tmp_path)
    spool.append(line(1))
    stored: list[UsageRow] = []

    def insert(rows, *, check):
        stored.extend(rows)
        return len(rows)

    drain = Drain(backlog, insert)
    for _ in range(3):
        drain.round()
        spool.append(lines.encode(usage_row()))
    assert len(stored) == 2
    assert backlog.depth == 1
    assert caplog.text.count("cannot be read") == 1


def test_a_worker_whose_lock_is_removed_is_not_taken_for_dead_at_once(tmp_path):
    now = [0.0]
    backlog = Backlog(tmp_path, clock=lambda: now[0])
    spool = Spool(tmp_path)
    spool.append(line(1))
    assert take_all(backlog) == [b"1"]
    (tmp_path / f"{spool.worker}.lock").unlink()
    now[0] = 1.0
    assert take_all(backlog) == []
    assert len(files(tmp_path)) == 1  # the segment is still written to
    spool.append(line(2))
    now[0] = 10.0
    assert take_all(backlog) == [b"2"]
    assert files(tmp_path) == []
