from django.apps import AppConfig


class AccessConfig(AppConfig):
    name = "access"
    verbose_name = "Access"

    def ready(self) -> None:
        from access.models import ProxyKey, RateLimit
        from tokenwatch import policy

        policy.watch(ProxyKey, RateLimit)
