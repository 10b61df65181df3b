"""The cache domain: answers kept to be served again, for equal and for similar prompts."""

from django.apps import AppConfig


class CacheConfig(AppConfig):
    name = "cache"
