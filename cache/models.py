"""What the cache stores."""

from cache.entries import CacheBody, CacheClearing, CacheEntry
from cache.vectors import CacheVector

__all__ = ["CacheBody", "CacheClearing", "CacheEntry", "CacheVector"]
