from django.apps import AppConfig


class UsageConfig(AppConfig):
    name = "usage"
    verbose_name = "Ledger"

    def ready(self) -> None:
        from tokenwatch import jobs, policy
        from usage import retention, rollup_check
        from usage.models import ModelPrice

        policy.watch(ModelPrice)
        jobs.register(jobs.Task(retention.JOB, retention.EVERY, retention.job))
        jobs.register(jobs.Task(rollup_check.JOB, rollup_check.EVERY, rollup_check.job))
