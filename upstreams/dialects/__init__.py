"""The wire formats that TokenWatch understands, by the api type that begins a proxy URL."""

from upstreams.dialects.anthropic import Anthropic
from upstreams.dialects.base import Dialect
from upstreams.dialects.openai import OpenAI

DIALECTS: dict[str, Dialect] = {"openai": OpenAI(), "anthropic": Anthropic()}
