"""Waiting for what gives no sign of itself."""

import asyncio


async def until(reached):
    """Give way to others until it is so."""
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110 - it happens in the code that is tested
            await asyncio.sleep(0.001)
