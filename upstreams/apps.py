from django.apps import AppConfig


class UpstreamsConfig(AppConfig):
    name = "upstreams"
    verbose_name = "Providers"

    def ready(self) -> None:
        from tokenwatch import policy
        from upstreams.models import Upstream

        policy.watch(Upstream)
