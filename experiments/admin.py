"""The admin pages of experiments."""

from experiments import ab_admin, prompt_admin, replay_admin  # noqa: F401 - they register themselves
