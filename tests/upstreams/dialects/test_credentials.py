"""Whose credential goes where."""

import pytest

from upstreams.dialects.credentials import query_without_key, replaced

CLIENT = [
    (b"authorization", b"Bearer client"),
    (b"x-api-key", b"client"),
    (b"api-key", b"client"),
    (b"x-goog-api-key", b"client"),
    (b"cookie", b"session=client"),
    (b"openai-organization", b"org-client"),
    (b"openai-project", b"proj-client"),
    (b"content-type", b"application/json"),
    (b"anthropic-version", b"2023-06-01"),
    (b"x-request-id", b"1"),
]
KEPT = CLIENT[-3:]


def test_without_a_credential_of_its_own_nothing_of_the_clients_is_left() -> None:
    assert replaced(CLIENT, "openai", "") == KEPT
    assert replaced(CLIENT, "anthropic", "") == KEPT


@pytest.mark.parametrize(
    ("api_type", "credential", "header"),
    [
        ("openai", "sk-own", (b"authorization", b"Bearer sk-own")),
        ("anthropic", "sk-ant-api03-own", (b"x-api-key", b"sk-ant-api03-own")),
        ("anthropic", "sk-ant-oat01-own", (b"authorization", b"Bearer sk-ant-oat01-own")),
        ("anthropic", "Bearer own", (b"authorization", b"Bearer own")),
        ("openai", "Basic b3du", (b"authorization", b"Basic b3du")),
    ],
)
def test_its_own_goes_in_the_dialects_way(
    api_type: str, credential: str, header: tuple[bytes, bytes]
) -> None:
    assert replaced(CLIENT, api_type, credential) == [*KEPT, header]
    assert replaced([], api_type, credential) == [header]


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("key=secret", ""),
        ("a=1&key=secret&b=2", "a=1&b=2"),
        ("key=secret&b=%20", "b=%20"),
        ("api-key=s&API_KEY=s&access_token=s&x=key", "x=key"),
        ("beta=true", "beta=true"),
        ("monkey=1&keys=2", "monkey=1&keys=2"),
        ("", ""),
    ],
)
def test_a_key_in_the_query_goes_too(query: str, left: str) -> None:
    assert query_without_key(query) == left
