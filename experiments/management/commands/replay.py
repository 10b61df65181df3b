"""`manage.py replay`: send stored prompts to another model and compare."""

import asyncio
import contextlib
import signal
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from experiments import replay, replay_plan, replay_results, replay_store, replay_view
from experiments.prompt_models import ReplayRun
from experiments.replay_plan import Estimate, ReplayError, Wish
from experiments.replay_report import Report, report
from experiments.replay_rules import answer_text, difference, parsed, tool_calls
from experiments.replay_view import Worst
from tokenwatch import running
from tokenwatch.commands import Error, TokenWatchCommand, add_json_option, visible
from tokenwatch.conf import config
from usage.pricebook import load_price_book

PATIENCE = replay.STALE_AFTER + 4
"""Seconds that a resumed run waits for its last process to count as dead."""


class Command(TokenWatchCommand):
    help = "Send stored prompts to another model; compare cost, latency, answers."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--source-model", help="whose stored prompts")
        parser.add_argument("--target-model", help="who answers them now")
        parser.add_argument("--from", dest="since", type=_moment, metavar="TIME", help="UTC")
        parser.add_argument("--to", dest="until", type=_moment, metavar="TIME", help="UTC")
        parser.add_argument("--app", default="", help="only prompts of this app")
        parser.add_argument("--tag", default="", help="only prompts with this tag")
        parser.add_argument("--limit", type=int, default=0, help="the newest so many (all)")
        parser.add_argument("--concurrency", type=int, default=4, help="at once (4)")
        parser.add_argument("--judge", default="", metavar="MODEL", help="compares the answers")
        parser.add_argument("--url", help="a running TokenWatch (the local one)")
        parser.add_argument(
            "--fail-under", type=float, metavar="SCORE", help="exit with 1 below it (0 to 1)"
        )
        parser.add_argument("--dry-run", action="store_true", help="only count and estimate")
        parser.add_argument("--resume", type=int, metavar="RUN", help="go on with a run")
        parser.add_argument("--report", type=int, metavar="RUN", help="show a run again")
        parser.add_argument("--list", action="store_true", help="show the runs")
        add_json_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._handle(options)
        except ReplayError as exc:
            raise Error(visible(exc)) from None

    def _handle(self, options: dict[str, Any]) -> None:
        _check(options)
        if options["list"]:
            self._list(as_json=options["json"])
            return
        if options["report"] is not None:
            run = replay_store.run_of(options["report"])
        elif options["resume"] is not None:
            run = replay_store.run_of(options["resume"])
            self._work(run, options)
        else:
            run_or_none = self._begin(options)
            if run_or_none is None:
                return
            run = run_or_none
            self._work(run, options)
        self._show(ReplayRun.objects.get(pk=run.pk), options)

    def _begin(self, options: dict[str, Any]) -> ReplayRun | None:
        """A new run; None after a dry one."""
        now = datetime.now(UTC)
        wish = Wish(
            source_model=options["source_model"],
            target_model=options["target_model"],
            since=options["since"],
            until=options["until"],
            app=options["app"],
            tag=options["tag"],
            limit=options["limit"],
            judge_model=options["judge"],
            url=(options["url"] or _local_url()).rstrip("/"),
        )
        selection = replay_plan.select(wish, now)
        if options["dry_run"]:
            found = replay_plan.estimate(wish, selection, load_price_book(), now)
            self._show_estimate(wish, found, as_json=options["json"])
            return None
        return replay_plan.create(wish, selection, now)

    def _work(self, run: ReplayRun, options: dict[str, Any]) -> None:
        if options["url"] and options["resume"] is not None:
            run.url = options["url"].rstrip("/")
            ReplayRun.objects.filter(pk=run.pk).update(url=run.url)
        embed = replay.find_embedder()
        with self._progress(run) as tell:

            def engine() -> replay.Engine:
                return replay.Engine(
                    run,
                    key=config.replay_key,
                    concurrency=options["concurrency"],
                    embed=embed,
                    on_progress=tell,
                )

            try:
                asyncio.run(_patiently(engine))
            except ReplayError as exc:
                raise ReplayError(f"{exc} (go on with: replay --resume {run.pk})") from None

    @contextmanager
    def _progress(self, run: ReplayRun) -> Iterator[Any]:
        """A bar on standard error where somebody looks."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
            task = shown.add_task(f"run {run.pk}", total=run.prompts)

            def tell(progress: replay.Progress) -> None:
                shown.update(
                    task,
                    description=f"run {run.pk}, {progress.doing}",
                    completed=progress.done,
                    total=progress.of,
                )

            yield tell

    # Printing

    def _show(self, run: ReplayRun, options: dict[str, Any]) -> None:
        found = report(replay_results.outcomes(run))
        worst = _worst(run, found)
        if options["json"]:
            self.write_json(replay_view.as_dict(found, _run_dict(run), worst))
        else:
            self._print(run, found, worst)
        least = options["fail_under"]
        if least is not None and (found.score is None or found.score < least):
            score = "unknown" if found.score is None else f"{found.score:.3f}"
            raise Error(f"the score is {score}, under {least:g}")

    def _print(self, run: ReplayRun, found: Report, worst: list[Worst]) -> None:
        self.say(f"Replay run {run.pk}, {run.state}{f': {run.note}' if run.note else ''}")
        rows = replay_view.figures(found, run.source_model, run.target_model)
        self.write_table(("", "Source>", "Target>", "Difference"), rows)
        if distribution := replay_view.bars(found.histogram):
            self.say("\nSimilarity")
            self.write_table(("", ">", ""), distribution)
        for error, number in list(found.errors.items())[:5]:
            self.say(f"{number:,} failed: {error}")
        for one in worst:
            score = one.outcome.score
            shown = "unknown" if score is None else f"{score:.3f}"
            self.say(f"\nRequest {one.outcome.request_id}, score {shown}")
            for line in one.lines:
                self.say(f"  {line}")

    def _show_estimate(self, wish: Wish, found: Estimate, *, as_json: bool) -> None:
        if as_json:
            values = asdict(found)
            for name in ("cost", "original_cost"):
                values[name] = None if values[name] is None else f"{values[name]:.10f}"
            self.write_json({"dry_run": True, **values})
            return
        self.say(
            f"{found.prompts:,} prompts of {wish.source_model} would go to {wish.target_model}."
        )
        self.say(f"Tokens: {found.input_tokens:,} in, about {found.output_tokens:,} out.")
        cost = "unknown: it has no price" if found.cost is None else f"about ${found.cost:.6f}"
        before = "unknown" if found.original_cost is None else f"${found.original_cost:.6f}"
        self.say(f"Cost: {cost}; it was {before}.")
        for reason, number in found.left_out.items():
            self.say(f"Left out: {number:,} {reason}.")

    def _list(self, *, as_json: bool) -> None:
        runs = list(ReplayRun.objects.order_by("-pk")[:50])
        if as_json:
            self.write_json([_run_dict(run) for run in runs])
            return
        if not runs:
            self.stdout.write("No replay runs.")
            return
        columns = ("Run>", "Created (UTC)", "State", "Source", "Target", "Prompts>", "")
        self.write_table(
            columns,
            (
                (
                    run.pk,
                    f"{run.created_at:%Y-%m-%d %H:%M}",
                    run.state,
                    run.source_model,
                    run.target_model,
                    f"{run.prompts:,}",
                    run.note,
                )
                for run in runs
            ),
        )


async def _patiently(make: Any) -> None:
    """Run an engine; of a run that was killed, wait until its process counts as dead."""
    deadline = time.monotonic() + PATIENCE
    while True:
        engine = make()
        loop = asyncio.get_running_loop()
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            # The first Ctrl-C lets what is under way come to its end; the second breaks off.
            loop.add_signal_handler(signal.SIGINT, _stop, engine, loop)
        try:
            await engine.run()
        except replay.TakenError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(replay.HEARTBEAT)
            continue
        return


def _stop(engine: replay.Engine, loop: asyncio.AbstractEventLoop) -> None:
    engine.stop()
    loop.remove_signal_handler(signal.SIGINT)


def _check(options: dict[str, Any]) -> None:
    """
    Raises:
        ReplayError: the options do not go together.
    """
    others = options["list"] or options["report"] is not None or options["resume"] is not None
    if not others and not (options["source_model"] and options["target_model"]):
        raise ReplayError("give --source-model and --target-model (or --resume, --report, --list)")
    if options["limit"] < 0:
        raise ReplayError("--limit must be 1 or more")
    if not 1 <= options["concurrency"] <= 256:
        raise ReplayError("--concurrency must be from 1 to 256")
    least = options["fail_under"]
    if least is not None and not 0 <= least <= 1:
        raise ReplayError("--fail-under must be from 0 to 1")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Error(f"{text!r} is no time, such as 2026-01-31 or 2026-01-31T08:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _local_url() -> str:
    """The proxy that runs here, as its run file says, else the configured address."""
    run = running.read(config.run_file)
    if run is not None and running.is_alive(run.pid):
        return run.proxy_url
    return running.base_url(config.host, config.proxy_port)


def _worst(run: ReplayRun, found: Report) -> list[Worst]:
    pairs = {pair.id: pair for pair in replay_results.pairs(run, [one.id for one in found.worst])}
    worst = []
    for one in found.worst:
        pair = pairs.get(one.id)
        if pair is None or not one.ok:
            worst.append(Worst(one, [one.error] if one.error else []))
            continue
        before, after = parsed(pair.original), parsed(pair.answer)
        worst.append(Worst(one, difference(_readable(before), _readable(after))))
    return worst


def _readable(body: Any) -> str:
    calls = "\n".join(f"{name}({arguments})" for name, arguments in tool_calls(body))
    return "\n".join(part for part in (answer_text(body), calls) if part)


def _run_dict(run: ReplayRun) -> dict[str, Any]:
    return {
        "id": run.pk,
        "state": run.state,
        "note": run.note,
        "created_at": run.created_at,
        "finished_at": run.finished_at,
        "source_model": run.source_model,
        "target_model": run.target_model,
        "judge_model": run.judge_model,
        "prompts": run.prompts,
        "left_out": run.left_out,
        "url": run.url,
    }
