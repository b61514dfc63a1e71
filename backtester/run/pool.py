"""Run a plan: sessions read ahead, computed by workers, committed one by one, resumable at any moment."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

from backtester.config import resolved_toml
from backtester.data.calendar import Session
from backtester.data.durable import owned, sweep_temporaries, write_whole
from backtester.data.run_dir import RunDir
from backtester.errors import UsageError
from backtester.kernels import jit
from backtester.run.commit import Carry, Completed, Done, carried, commit, committed_carry
from backtester.run.indicating import warmed
from backtester.run.loading import Loaded, Loader
from backtester.run.manifest import finish
from backtester.run.plan import Plan
from backtester.run.session import Prepared, complete, prepare

if TYPE_CHECKING:
    from backtester.run.attest import Attestor
    from backtester.run.guarding import Guard

# Loading compiled kernels costs a second, in which plain Python does about this many rows.
COMPILE_ROWS = 50_000
# Compiling the ledger takes 12 to 26 CPU seconds, in which plain Python runs it over about this many rows; where it is
# compiled already, or more rows make it worth while, it runs as machine code. The kernels say so themselves.
LEDGER_ROWS = 250_000


class Outcome(NamedTuple):
    """What a run did; `computed` of its `sessions` now, the rest by an earlier, interrupted run."""

    run_dir: Path
    sessions: int
    computed: int
    bars: int
    failed: int
    seconds: float
    attestation: dict[str, Any] | None = None  # as in the manifest


class _Threads(NamedTuple):
    """One thread that reads ahead, and the workers."""

    loading: ThreadPoolExecutor
    loader: Loader
    pool: ThreadPoolExecutor
    workers: int

    def load(self, session: Session) -> Future[Loaded]:
        return self.loading.submit(self.loader.load, session)


class _Watch(NamedTuple):
    """What looks at the sessions of a chained run between their computation and their commit."""

    guard: Guard | None
    attestor: Attestor | None

    def completed(self, plan: Plan, prepared: Prepared, carry: Carry) -> Completed:
        """The next session, computed and looked at; what fails the guard raises."""
        if self.attestor is not None:
            self.attestor.before(prepared.loaded.session)
        completed = complete(plan, prepared, carry)
        if self.guard is not None:
            self.guard.admit(completed)
        if self.attestor is not None:
            self.attestor.after(prepared.loaded, carry, completed.tables)
        return completed


class Progress(NamedTuple):
    """Where a run is."""

    sessions: int
    of_sessions: int
    bars: int
    seconds: float
    lines: list[str]


def run_plan(
    plan: Plan,
    out: Path,
    *,
    workers: int = 1,
    resume: bool = False,
    attestor: Attestor | None = None,
    tell: Callable[[str], None] = lambda _: None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Outcome:
    """Compute what is not committed yet under `out`/<run_id>, and write the manifest.

    attestor  looks at sessions as they are computed; the manifest keeps what it says

    The same bytes for any number of workers: sessions share nothing but the plan, and where each needs the one before
    it (plan.is_chained) they are completed in order, whoever prepared them.
    """
    begun = time.perf_counter()
    run_dir = RunDir(out / plan.run_id)
    with owned(run_dir.root, "run"):
        committed = _committed(run_dir, resume=resume, tell=tell)
        write_whole(run_dir.config_path, resolved_toml(plan.config).encode(), sync=False)
        todo = _to_do(plan, committed)
        choose_kernels(plan, todo, tell)
        carry = _carry(plan, run_dir, todo)
        bars = computed = 0
        guard = _guard(plan, run_dir, todo)
        watch = _Watch(guard, attestor)
        for done in _computed(plan, todo, run_dir, workers=workers, carry=carry, watch=watch):
            run_dir.log(done.lines)
            bars, computed = bars + done.bars, computed + 1
            elapsed = time.perf_counter() - begun
            progress(Progress(computed, len(todo), bars, elapsed, done.lines))
        manifest = run_dir.manifest() if not todo else None
        if manifest is None:
            attested = attestor.report(run_dir) if attestor is not None else None
            tables = guard.run_tables() if guard else None
            manifest = finish(plan, run_dir, run_tables=tables, attestation=attested)
        elif attestor is not None:
            manifest["attestation"] = attestor.report(run_dir)
            run_dir.finish(manifest)
    seconds = time.perf_counter() - begun
    counts = len(plan.sessions), computed, manifest["bars"], manifest["failed"]
    return Outcome(run_dir.root, *counts, seconds, manifest.get("attestation"))


def _committed(run_dir: RunDir, *, resume: bool, tell: Callable[[str], None]) -> set[str]:
    """The sessions that are whole; those that are not are named, and computed again."""
    sweep_temporaries(run_dir.root)
    was_finished = run_dir.manifest_path.is_file()
    damage = run_dir.manifest_damage() if was_finished else []
    for problem in damage:
        tell(f"{problem}; writing the manifest again")
    if damage:
        run_dir.manifest_path.unlink()
    whole = set()
    for session in run_dir.sessions():
        damage = run_dir.damage(session)
        if not damage:
            whole.add(session)
        for problem in damage:
            tell(f"{problem}; computing it again")
    if not resume and run_dir.config_path.is_file() and not was_finished:
        raise UsageError(
            f"{run_dir.root} is an unfinished run ({len(whole)} sessions committed); add --resume to finish it"
        )
    return whole


def _to_do(plan: Plan, committed: set[str]) -> list[Session]:
    """The sessions to compute, in order.

    In a chained run every session from the first hole on, since what is committed after it was computed from what is
    gone. With an event strategy all of them: what it remembers is in no table.
    """
    todo = [session for session in plan.sessions if session.date.isoformat() not in committed]
    if todo and plan.strategy is not None and plan.strategy.kind == "event":
        return plan.sessions
    return plan.sessions[plan.sessions.index(todo[0]) :] if plan.is_chained and todo else todo


def _carry(plan: Plan, run_dir: RunDir, todo: list[Session]) -> Carry:
    """What the first session to compute takes over: of the session before it, or of the warm-up before the run."""
    if not plan.is_chained or not todo:
        return {}
    first = plan.sessions.index(todo[0])
    if first:
        return committed_carry(run_dir, plan.sessions[first - 1].date.isoformat())
    state = warmed(plan)
    return carried({} if state is None else {"indicator_state": state})


def choose_kernels(plan: Plan, todo: list[Session], tell: Callable[[str], None]) -> None:
    """Compiled kernels where there is enough to do, else plain Python."""
    # Two indicators cost plain Python what the pass does (10 us a row each, docs/indicators.md).
    rows = sum(plan.rows(session.date) for session in todo)
    if rows * (1 + len(plan.indicators) / 2) < COMPILE_ROWS:
        return
    if plan.strategy is not None and rows < LEDGER_ROWS and not jit.is_cached("ledger"):
        return
    if not jit.is_cached():
        seconds = 10 + len({use.name for use in plan.indicators})
        tell(f"compiling the kernels, once after install: about {seconds} seconds")
    jit.compiled(tell)


def _guard(plan: Plan, run_dir: RunDir, todo: list[Session]) -> Guard | None:
    if plan.strategy is None:
        return None
    from backtester.run.guarding import Guard  # with all metrics, which other runs have none of

    return Guard(plan, run_dir, todo)


def _computed(
    plan: Plan, todo: list[Session], run_dir: RunDir, *, workers: int, carry: Carry, watch: _Watch
) -> Iterator[Done]:
    """Each session's outcome as it is committed; at most `workers` + 1 sessions are in memory."""
    with _terminable(), ThreadPoolExecutor(1, "load") as loading, ThreadPoolExecutor(workers, "session") as pool:
        threads = _Threads(loading, Loader(plan), pool, workers)
        yield from (
            _chained(plan, todo, run_dir, threads, carry, watch)
            if plan.is_chained
            else _apart(plan, todo, run_dir, threads)
        )


def _apart(plan: Plan, todo: list[Session], run_dir: RunDir, threads: _Threads) -> Iterator[Done]:
    """Sessions that need nothing of each other: a worker takes each from load to commit."""
    waiting = deque(todo)
    running: set[Future[Done]] = set()
    try:
        while waiting or running:
            while waiting and len(running) <= threads.workers:
                running.add(threads.pool.submit(_whole, plan, threads.load(waiting.popleft()), run_dir))
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in finished)
    except BaseException:
        # Sessions under way finish and commit; nothing new begins.
        for future in running:
            future.cancel()
        raise


def _chained(
    plan: Plan, todo: list[Session], run_dir: RunDir, threads: _Threads, carry: Carry, watch: _Watch
) -> Iterator[Done]:
    """Sessions that take over from the one before: workers prepare and commit, this thread completes in order."""
    waiting = deque(todo)
    preparing: deque[Future[Prepared]] = deque()
    committing: set[Future[Done]] = set()
    try:
        while waiting or preparing or committing:
            while waiting and len(preparing) + len(committing) <= threads.workers:
                preparing.append(threads.pool.submit(_prepared, plan, threads.load(waiting.popleft())))
            is_idle = not preparing
            if preparing:
                prepared = preparing.popleft().result()
                completed = watch.completed(plan, prepared, carry)
                carry = carried(completed.tables)
                committing.add(threads.pool.submit(commit, run_dir, completed))
            finished, committing = wait(committing, None if is_idle else 0, FIRST_COMPLETED)
            yield from (future.result() for future in finished)
    except BaseException:
        # What is completed commits; nothing new begins.
        for future in preparing:
            future.cancel()
        raise


def _whole(plan: Plan, loading: Future[Loaded], run_dir: RunDir) -> Done:
    return commit(run_dir, complete(plan, prepare(plan, loading.result()), {}))


def _prepared(plan: Plan, loading: Future[Loaded]) -> Prepared:
    return prepare(plan, loading.result())


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does: between sessions, resumable."""

    def interrupt(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread: its owner decides about signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
