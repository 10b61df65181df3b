"""A replay's HTTP: how prompts are asked of a running TokenWatch, and what the answers say.

How it fails: `Refused` where the prompt certainly went to no provider; None where nobody can
say whether it did.
"""

import time
from typing import Any

import httpx
import orjson

from experiments.replay_plan import APP, ReplayError
from experiments.replay_rules import parsed
from experiments.replay_store import Item, Sent

TIMEOUT = 600.0
CONNECT_TIMEOUT = 10.0
REFUSALS = (401, 403, 429, 503)
"""Statuses by which TokenWatch itself refuses what it would refuse of the next prompt too."""


class Refused(Exception):
    """TokenWatch did not send the prompt on, and would not send the next."""


class Client:
    """Asks one TokenWatch."""

    def __init__(
        self, url: str, key: str, concurrency: int, transport: httpx.AsyncBaseTransport | None
    ) -> None:
        self._url = url
        self._key = key
        self._http = httpx.AsyncClient(
            base_url=url,
            timeout=httpx.Timeout(TIMEOUT, connect=CONNECT_TIMEOUT),
            limits=httpx.Limits(max_connections=concurrency + 1),
            transport=transport,
            trust_env=False,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def ask(
        self, item: Item, path: str, body: dict[str, Any], session: str, tag: str
    ) -> Sent | None:
        """Ask, and wait for the whole answer; None where nobody can say whether it was sent.

        Raises:
            Refused: it was not.
        """
        started = time.monotonic()
        try:
            answer = await self._http.post(
                f"/{item.api_type}/{path}",
                content=orjson.dumps(body),
                headers=self._headers(item, session, tag),
            )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as exc:
            raise Refused(f"TokenWatch does not answer at {self._url}: {exc}") from None
        except httpx.HTTPError:
            return None
        ours = answer.headers
        if ours.get("x-tokenwatch-attempts") == "0" and answer.status_code in REFUSALS:
            raise Refused(f"TokenWatch refused: {_message(answer)}")
        return Sent(
            status=answer.status_code,
            body=answer.text,
            replay_id=ours.get("x-tokenwatch-request-id", ""),
            cost=ours.get("x-tokenwatch-cost", ""),
            input_tokens=ours.get("x-tokenwatch-input-tokens", ""),
            output_tokens=ours.get("x-tokenwatch-output-tokens", ""),
            latency_ms=int((time.monotonic() - started) * 1000),
            error="" if answer.is_success else f"HTTP {answer.status_code}: {_message(answer)}",
        )

    async def ledger_is_complete(self) -> bool:
        """Whether no row waits for the ledger's database.

        Raises:
            ReplayError: TokenWatch does not answer.
        """
        try:
            health = (await self._http.get("/health")).json()
        except (httpx.HTTPError, ValueError):
            raise ReplayError(f"TokenWatch does not answer at {self._url}") from None
        return health.get("spool_depth") == 0 and health.get("database") == "ok"

    def _headers(self, item: Item, session: str, tag: str) -> dict[str, str]:
        headers = {
            "content-type": "application/json",
            "user-agent": "tokenwatch-replay",
            "x-tokenwatch-app": APP,
            "x-tokenwatch-tag": tag,
            "x-tokenwatch-session": session,
            "x-tokenwatch-cache": "no-store",
            **({"anthropic-version": "2023-06-01"} if item.api_type == "anthropic" else {}),
            **item.headers,
        }
        if self._key and item.api_type == "anthropic":
            headers["x-api-key"] = self._key
        elif self._key:
            headers["authorization"] = f"Bearer {self._key}"
        return headers


def judge_path(api_type: str, item: Item) -> str:
    """Beside the prompt's own endpoint where the judge speaks its dialect: hosts put something
    of their own before it."""
    last = "messages" if api_type == "anthropic" else "chat/completions"
    if api_type != item.api_type:
        return f"v1/{last}"
    for ending in ("chat/completions", "completions", "responses", "messages"):
        if item.endpoint.endswith(ending):
            return item.endpoint.removesuffix(ending) + last
    return f"v1/{last}"


def _message(answer: httpx.Response) -> str:
    """What an error says of itself, in one line."""
    body = parsed(answer.text)
    error = body.get("error") if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    text = message if isinstance(message, str) else answer.text
    return " ".join(text.split())[:300] or answer.reason_phrase
