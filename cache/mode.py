"""Whether the cache is ``off``, ``on``, or in ``shadow``: look-ups run and nothing is served."""

from tokenwatch.conf import Config

OFF, SHADOW, ON = "off", "shadow", "on"


def mode_of(config: Config) -> str:
    """The mode that is set; without one, what the plain switch says."""
    return config.cache_mode or (ON if config.cache_enabled else OFF)
