"""The entries that a worker has at hand: least recently used go first, bounded in bytes. Pure."""

from collections import OrderedDict
from collections.abc import Callable

from cache.entry import Entry


class Memory:
    """Entries by key. For one thread."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._keys: dict[str, str] = {}
        """By request id."""
        self.size = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str, now: float) -> Entry | None:
        """The entry of a key, unless it has expired."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires_at <= now:
            self.remove(key)
            return None
        self._entries.move_to_end(key)
        return entry

    def put(self, entry: Entry) -> None:
        """Keep an entry, in the place of an older one of its key."""
        self.remove(entry.key)
        if entry.size > self._most:
            return
        self._entries[entry.key] = entry
        self._keys[entry.request_id] = entry.key
        self.size += entry.size
        while self.size > self._most:
            self.remove(next(iter(self._entries)))

    def remove(self, key: str) -> None:
        if (entry := self._entries.pop(key, None)) is not None:
            del self._keys[entry.request_id]
            self.size -= entry.size

    def find(self, request_id: str, now: float) -> Entry | None:
        """The entry of a request's answer, unless it has expired."""
        key = self._keys.get(request_id)
        return None if key is None else self.get(key, now)

    def remove_where(self, condition: Callable[[Entry], bool]) -> int:
        """Remove all entries that a condition holds for; how many."""
        keys = [key for key, entry in self._entries.items() if condition(entry)]
        for key in keys:
            self.remove(key)
        return len(keys)
