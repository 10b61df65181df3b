"""Names and buckets are those of OpenTelemetry's conventions, or begin with ``tokenwatch.``."""

import importlib
import pkgutil
from typing import Any

import pytest
from opentelemetry.semconv._incubating.attributes.gen_ai_attributes import (
    GenAiOperationNameValues,
    GenAiProviderNameValues,
    GenAiTokenTypeValues,
)
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics

from tokenwatch.telemetry import conventions, names
from tokenwatch.telemetry.names import Instrument


def constants(name: str) -> set[str]:
    """The names in all modules of a package of the conventions."""
    package = importlib.import_module(f"opentelemetry.semconv.{name}")
    found: set[str] = set()
    for module in pkgutil.iter_modules(package.__path__):
        loaded = importlib.import_module(f"{package.__name__}.{module.name}")
        found |= {
            value for key, value in vars(loaded).items() if key.isupper() and type(value) is str
        }
    return found


CONVENTIONS = constants("attributes") | constants("_incubating.attributes")
ATTRIBUTES = {value for name, value in vars(names).items() if name.isupper() and type(value) is str}
INSTRUMENTS = {one for one in vars(names).values() if isinstance(one, Instrument)}
OVERFLOW = "otel.metric.overflow"
"""Of the metrics SDK's specification, which has no constants."""


def test_every_attribute_is_the_conventions_or_our_own() -> None:
    foreign = {name for name in ATTRIBUTES if not name.startswith("tokenwatch.")} - {OVERFLOW}
    assert len(foreign) > 15
    assert foreign <= CONVENTIONS


def test_every_metric_is_the_conventions_or_our_own() -> None:
    foreign = {one.name for one in INSTRUMENTS if not one.name.startswith("tokenwatch.")}
    assert foreign == {
        gen_ai_metrics.GEN_AI_CLIENT_TOKEN_USAGE,
        gen_ai_metrics.GEN_AI_CLIENT_OPERATION_DURATION,
        gen_ai_metrics.GEN_AI_CLIENT_OPERATION_TIME_TO_FIRST_CHUNK,
    }


def test_every_metric_is_sent_with_known_attributes() -> None:
    assert {*names.COUNTED, *names.GAUGES} == INSTRUMENTS
    for one in INSTRUMENTS:
        assert set(one.attributes) <= ATTRIBUTES


class NamesAndUnits:
    """A meter that makes of each instrument what it is called and counted in."""

    def create_histogram(self, name: str, description: str, unit: str) -> tuple[str, str]:
        return name, unit


def test_units_are_those_of_the_conventions() -> None:
    meter: Any = NamesAndUnits()
    made: list[Any] = [
        gen_ai_metrics.create_gen_ai_client_token_usage(meter),
        gen_ai_metrics.create_gen_ai_client_operation_duration(meter),
        gen_ai_metrics.create_gen_ai_client_operation_time_to_first_chunk(meter),
    ]
    assert set(made) <= {(one.name, one.unit) for one in INSTRUMENTS}


def test_buckets_are_those_of_the_conventions() -> None:
    """Their text gives them; the package has no constants."""
    tokens = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304]
    assert list(names.TOKEN_USAGE.bounds) == [*tokens, 16777216, 67108864]
    seconds = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96]
    assert list(names.OPERATION_DURATION.bounds) == [*seconds, 81.92]
    assert list(names.FIRST_CHUNK.bounds) == [*seconds, 81.92]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("chat", GenAiOperationNameValues.CHAT),
        ("messages", GenAiOperationNameValues.CHAT),
        ("responses", GenAiOperationNameValues.CHAT),
        ("completions", GenAiOperationNameValues.TEXT_COMPLETION),
        ("embeddings", GenAiOperationNameValues.EMBEDDINGS),
    ],
)
def test_operations(kind: str, name: GenAiOperationNameValues) -> None:
    assert conventions.operation(kind) == name.value


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.openai.com", GenAiProviderNameValues.OPENAI),
        ("https://api.anthropic.com", GenAiProviderNameValues.ANTHROPIC),
        ("https://me.openai.azure.com/openai", GenAiProviderNameValues.AZURE_AI_OPENAI),
        ("https://api.groq.com/openai", GenAiProviderNameValues.GROQ),
        ("https://api.x.ai", GenAiProviderNameValues.X_AI),
        ("https://bedrock-runtime.eu-west-1.amazonaws.com", GenAiProviderNameValues.AWS_BEDROCK),
        ("https://api.max.ai", GenAiProviderNameValues.OPENAI),
        ("https://notopenai.com", GenAiProviderNameValues.OPENAI),
        ("http://127.0.0.1:4000", GenAiProviderNameValues.OPENAI),
    ],
)
def test_providers(url: str, name: GenAiProviderNameValues) -> None:
    assert conventions.provider("openai", url) == name.value


def test_an_unknown_host_is_told_in_the_terms_of_its_format() -> None:
    assert conventions.provider("anthropic", "https://api.z.ai/api/anthropic") == "anthropic"


def test_every_provider_that_we_name_is_the_conventions() -> None:
    known = {one.value for one in GenAiProviderNameValues}
    assert {name for _, name in conventions._PROVIDERS} <= known


def test_token_types() -> None:
    assert {one.value for one in GenAiTokenTypeValues} >= {"input", "output"}
