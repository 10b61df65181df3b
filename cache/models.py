"""What the cache stores."""

from cache.vectors import CacheVector

__all__ = ["CacheVector"]
