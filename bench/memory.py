"""Resident memory of a process and its children, from /proc (Linux)."""

from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


def parents() -> dict[int, int]:
    """The parent of each process that is there."""
    found = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:  # ended meanwhile
                continue
            found[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    return found


def family(pid: int, parent_of: dict[int, int]) -> set[int]:
    """A process and all that descend from it; pure."""
    members = {pid}
    while True:
        more = {child for child, parent in parent_of.items() if parent in members} - members
        if not more:
            return members
        members |= more


@dataclass(frozen=True, slots=True)
class Resident:
    """Megabytes (2^20) in memory."""

    own: float
    """Anonymous memory: what the process itself has allocated."""
    total: float
    """With mapped files: SQLite maps the ledger, so this grows with the ledger's file, in
    pages that the system takes back when it needs them."""


def resident(pid: int) -> Resident:
    """What a process and its children hold; those that end meanwhile count 0."""
    members = [_status(member) for member in family(pid, parents())]
    own, total = (sum(member.get(name, 0) for member in members) for name in ("RssAnon", "VmRSS"))
    return Resident(own / 1024, total / 1024)


def _status(pid: int) -> dict[str, int]:
    """The fields in kB of /proc/PID/status."""
    try:
        text = (PROC / str(pid) / "status").read_text()
    except OSError:
        return {}
    fields = (line.split() for line in text.splitlines() if line.endswith(" kB"))
    return {name.rstrip(":"): int(kilobytes) for name, kilobytes, _ in fields}
