"""The cache domain: answers kept to be served again, for equal and for similar prompts."""

from django.apps import AppConfig


class CacheConfig(AppConfig):
    name = "cache"

    def ready(self) -> None:
        from cache import upkeep
        from tokenwatch import jobs

        jobs.register(jobs.Task(upkeep.JOB, upkeep.EVERY, upkeep.job))
