"""What a worker needs to serve requests: policies, ledger and transport, started together."""

import asyncio
import atexit
import gc
import logging
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from access.limiter import Limiter
from access.store import LastUsed
from budgets.desk import Desk
from budgets.estimate import Habits
from cache.desk import CacheDesk
from cache.mode import OFF, SHADOW, mode_of
from cache.semantic import SemanticTier
from cache.semantic import Settings as SemanticSettings
from experiments.prompt_spool import PromptSpool
from proxy.snapshot import Policies
from tokenwatch.background import Keeper
from tokenwatch.conf import Config
from upstreams.health import Health
from upstreams.transport import Transport
from usage.ledger import Ledger
from usage.today import TodaysCost

if TYPE_CHECKING:
    from tokenwatch.telemetry.handover import Telemetry
    from tokenwatch.telemetry.points import Reading

FLUSH_SECONDS = 15.0
"""How long a stopping worker waits for its rows before it leaves the rest to the next start."""
UPKEEP_SECONDS = 1.0

logger = logging.getLogger("tokenwatch.services")


class Services:
    """One worker's long-lived parts. Create it in the worker, after any fork."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.policies = Policies(config)
        self.ledger = Ledger(config.spool_dir)
        self.desk = Desk(
            lambda: self.policies.snapshot.budgets,
            lambda: self.ledger.pending() == 0,
            fail_open=config.budget_fail_mode == "open",
        )
        self.habits = Habits()
        self.keys_required = config.keys_required
        self.limiter = Limiter(config.limits_dir)
        self.last_used = LastUsed()
        self.health = Health(config)
        self.today = TodaysCost(
            lambda: self.policies.snapshot.rules.needs_cost, lambda: self.ledger.pending()
        )
        self.prompts = (
            PromptSpool(
                redact=config.redact_stored_prompts, retention_days=config.prompt_retention_days
            )
            if config.store_prompts
            else None
        )
        self.cache = _cache(config) if mode_of(config) != OFF else None
        self.keeper = Keeper(config.spool_dir)
        self.telemetry = _telemetry(config, self.health.worker)
        self._upkeep: asyncio.Task[None] | None = None
        self.transport: Transport = None  # type: ignore[assignment]  # set by `start`

    async def start(self) -> None:
        """Start the threads and open the pool; blocking work stays off the event loop."""
        await asyncio.to_thread(self.policies.start)
        await asyncio.to_thread(self.health.load)
        await asyncio.to_thread(self.today.start)
        await self.desk.start()
        if self.prompts is not None:
            self.prompts.start()
        if self.cache is not None:
            await self.cache.start()
        self._upkeep = asyncio.create_task(self._keep())
        self.transport = Transport(
            connect_timeout=self.config.connect_timeout,
            overall_timeout=self.config.overall_timeout,
        )
        self.health.start(self.transport, lambda: self.policies.snapshot.upstreams)
        if self.telemetry is not None:
            await asyncio.to_thread(self.telemetry.start, self._gauges)
        # Django, the models and the price catalogue live as long as the process: the garbage
        # collector need not walk through their few hundred thousand objects again and again.
        # Nor look at the few of each request so often: nearly all of them go by themselves.
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 50)

    def _gauges(self) -> "Iterator[Reading]":
        """What telemetry looks up whenever it sends metrics; from a thread of its own."""
        from tokenwatch.telemetry.names import BREAKER_STATES, BREAKERS, SPOOL

        yield SPOOL, (), self.ledger.pending()
        for api_type, upstream, state in self.health.states():
            for one in BREAKER_STATES:
                yield BREAKERS, (api_type, upstream, one), int(one == state)

    async def _keep(self) -> None:
        """Once a second: what needs a look, and must not wait on the event loop."""
        while True:
            try:
                await asyncio.to_thread(self._look)
            except Exception:  # a fault in here must not end the upkeep
                logger.exception("The worker's upkeep hit an unexpected error")
            await asyncio.sleep(UPKEEP_SECONDS)

    def _look(self) -> None:
        self.keeper.check()
        self.ledger.rescue()
        self.limiter.check()
        self.last_used.flush(time.time())
        self.health.flush()

    async def stop(self) -> None:
        """Close the pool and see every row stored that was recorded."""
        if self._upkeep is not None:
            self._upkeep.cancel()
        await self.health.stop()
        await self.transport.close()
        await self.desk.stop()
        await asyncio.to_thread(self.stop_threads)

    def stop_threads(self) -> None:
        """The ledger first: what follows is worth no wait for a database that does not answer."""
        self.policies.stop()
        self.today.stop()
        stored = self.ledger.stop(FLUSH_SECONDS)
        seconds = FLUSH_SECONDS if stored else 0.0
        if self.prompts is not None:
            self.prompts.stop(seconds)
        if self.cache is not None:
            self.cache.stop(seconds)
        if stored:
            self.last_used.flush(time.time(), all_of_it=True)
            self.health.flush()
            self.desk.release()
        if self.telemetry is not None:  # last: rows go before what is told of them
            self.telemetry.stop()


def _telemetry(config: Config, worker: str) -> "Telemetry | None":
    """None, and not a module loaded, where it is off."""
    if not config.otel_enabled:
        return None
    from tokenwatch.telemetry.handover import Telemetry

    return Telemetry(
        config.otel_endpoint,
        config.otel_service_name,
        worker,
        traces_per_second=config.otel_traces_per_second,
    )


def _cache(config: Config) -> CacheDesk:
    semantic = SemanticTier(SemanticSettings.of(config)) if config.cache_semantic else None
    return CacheDesk(
        answer_bytes=config.cache_answers_mb * 1024 * 1024,
        timeout=config.cache_timeout_ms / 1000,
        tier=semantic,
        serves=mode_of(config) != SHADOW,
    )


class ServicesHolder:
    """Starts the services once per process, by the lifespan or, where a server has none
    (daphne), by the first request."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = asyncio.Lock()
        self._services: Services | None = None

    @property
    def running(self) -> Services | None:
        return self._services

    async def get(self) -> Services:
        if self._services is None:
            async with self._lock:
                if self._services is None:
                    services = Services(self._config)
                    await services.start()
                    # Without a lifespan nobody calls `stop`; the interpreter's end does.
                    atexit.register(services.stop_threads)
                    self._services = services
        return self._services

    async def stop(self) -> None:
        if self._services is not None:
            services, self._services = self._services, None
            atexit.unregister(services.stop_threads)
            await services.stop()
