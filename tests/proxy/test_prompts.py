"""Prompts and answers are stored where the operator wants it, after the client has its answer."""

import json

import pytest
from django.db import connection

from experiments.prompt_models import PromptText, StoredPrompt
from tests.proxy.test_failover import BODY, MESSAGES, candidate, closed_port, good, saying, two
from tests.proxy.test_tap import COMPLETION

pytestmark = pytest.mark.django_db(transaction=True)


async def stored(made):
    """Everything that was stored, once it is."""
    import asyncio

    prompts = made.proxy.services.prompts
    prompts.start()
    assert await asyncio.to_thread(prompts.stop, 20)

    def read():
        try:
            texts = {one.prompt_id: one for one in PromptText.objects.all()}
            return [(one, texts[one.pk]) for one in StoredPrompt.objects.order_by("created_at")]
        finally:
            connection.close()

    return await asyncio.to_thread(read)


async def test_prompt_and_answer_are_stored_without_secrets(tmp_path):
    asked = {
        **BODY,
        "messages": [{"role": "user", "content": "mail a@example.com sk-" + "a1" * 20}],
    }
    async with two(tmp_path, good, store_prompts=True) as made:
        response = await made.ask(json=asked, headers={"X-TokenWatch-App": "crm"})
        ((prompt, text),) = await stored(made)
    assert prompt.request_id == response.headers["x-tokenwatch-request-id"]
    assert prompt.app == "crm"
    assert "example.com" not in text.request_body
    assert "a1a1a1" not in text.request_body
    assert json.loads(text.response_body) == COMPLETION


async def test_a_stream_is_stored_as_the_answer_that_it_makes(tmp_path):
    async with two(tmp_path, good, store_prompts=True) as made:
        await made.ask(json={**BODY, "stream": True})
        ((_, text),) = await stored(made)
    answer = json.loads(text.response_body)
    assert answer["choices"][0]["message"]["content"]
    assert answer["choices"][0]["finish_reason"] == "stop"


async def test_nothing_is_stored_of_what_no_provider_answered(tmp_path):
    async with two(tmp_path, saying(b"200 OK"), store_prompts=True) as made:
        made.use(candidate("first", await closed_port()))
        await made.ask()
        await made.ask(MESSAGES, content=b"not json")
        assert await stored(made) == []


async def test_nothing_is_kept_unless_it_is_asked_for(tmp_path):
    async with two(tmp_path, good) as made:
        await made.ask()
        assert made.proxy.services.prompts is None
