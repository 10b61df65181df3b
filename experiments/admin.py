"""The admin pages of experiments."""

from experiments import ab_admin  # noqa: F401 - it registers itself
