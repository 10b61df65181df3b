from django.apps import AppConfig


class TokenWatchConfig(AppConfig):
    name = "tokenwatch"
    verbose_name = "TokenWatch"
