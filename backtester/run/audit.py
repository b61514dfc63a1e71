"""The audit of a config: on sampled sessions, does anything look ahead, and do fast and slow agree, bit for bit?"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from backtester.config.whole import Config
from backtester.data.durable import canonical_json, owned, sha256
from backtester.data.run_dir import RunDir
from backtester.data.store import Store
from backtester.errors import UsageError
from backtester.kernels import jit
from backtester.run import plan as plans
from backtester.run.commit import parquet
from backtester.run.levels import MOMENTS, At, Level, copied, levels_of, own_code, sampled, tables_at, turned
from backtester.run.plan import Plan
from backtester.run.pool import choose_kernels
from backtester.run.warming import History, warm_up
from backtester.strategy import audit
from backtester.strategy.audit import Failure, Report, failure, summed

# Plain Python runs about 100,000 rows a second, two indicators counting as the pass: sampled sessions are compared
# with it until so much is done, and the first whatever it is. Not by the clock: an audit finds the same every time.
INTERPRETED_ROWS = 1_000_000
# What two orders of the symbols may differ by for sums that are made in another order.
ROUNDING = 1e-9
HINTS = {"afresh": ": the strategy keeps from session to session what a resumed run has not"}


class Audit(NamedTuple):
    """What an audit found; violations are leaks and sentences of parity, one each."""

    sessions: list[str]
    checks: int  # changed futures that were computed and compared
    leaks: list[dict[str, Any]]  # one an output and column: the first session's, with all sessions' places
    parity: list[str]
    compared: dict[str, int]  # in how many sessions each other way of running was compared
    order: dict[str, int]  # output.column -> rows that depend on the order of symbols at one label
    warm_up: dict[str, History]  # by column of the indicators
    failures: list[Failure]  # of the strategy on changed futures, which compare nothing

    @property
    def violations(self) -> int:
        """How many there are; order, warm-up and failures are told, and are none."""
        return len(self.leaks) + len(self.parity)

    def told(self) -> dict[str, Any]:
        """Everything it says, and the SHA-256 of that: what a manifest keeps."""
        said = self._asdict() | {"warm_up": {name: each._asdict() for name, each in self.warm_up.items()}}
        said["failures"] = [each._asdict() for each in self.failures]
        return said | {"sha256": sha256(canonical_json(said))}


class Task(NamedTuple):
    """Sessions to audit, by number in the plan."""

    chosen: list[int]
    every: int  # look at every so many bars
    interpreted: list[int]  # those to compare with plain Python


def run_audit(
    plan: Plan,
    *,
    sessions: int = 2,
    every: int = 13,
    workers: int = 1,
    config_path: Path | None = None,
) -> Audit:
    """Audit `sessions` of the plan's sessions, evenly spread, at every `every`-th bar.

    workers  processes; those beside this one make the plan again from `config_path`, and without it there are none
    """
    plan = _telling(plan)
    chosen = _chosen(plan, sessions)
    task = Task(chosen, every, _interpretable(plan, chosen) if jit.is_compiled() else [])
    shares = [task._replace(chosen=chosen[k::workers]) for k in range(min(workers, len(chosen)))]
    if config_path is None or len(shares) == 1:
        parts = _parts(plan, task)
    else:
        with ProcessPoolExecutor(len(shares) - 1, multiprocessing.get_context("spawn")) as pool:
            how = config_path, plan.store.root
            others = [pool.submit(_parts_elsewhere, *how, share, is_compiled=jit.is_compiled()) for share in shares[1:]]
            parts = _parts(plan, shares[0])
            for other in others:
                parts |= other.result()
    found = _together(parts[number] for number in chosen)
    return found._replace(warm_up=warm_up(plan, chosen[-1])) if chosen else found


def choose_kernels_for(plan: Plan, *, sessions: int, every: int, tell: Callable[[str], None]) -> None:
    """Compiled kernels where an audit has enough to do: a look computes a session, and there are seven an instant."""
    looks = 7 * len(range(0, 390, every))
    choose_kernels(plan, [plan.sessions[k] for k in _chosen(plan, sessions) for _ in range(looks)], tell)


def _chosen(plan: Plan, sessions: int) -> list[int]:
    count = min(sessions, len(plan.sessions))
    return sorted({round(k) for k in np.linspace(0, len(plan.sessions) - 1, count)})


def finished_run(plan: Plan, out: Path) -> RunDir:
    """The finished run of the plan under `out`; UsageError if there is none: only the same run may keep an audit."""
    run_dir = RunDir(out / plan.run_id)
    if run_dir.manifest() is None:
        raise UsageError(f"{run_dir.root} is no finished run, so it cannot keep the audit; `backtester run` it first")
    return run_dir


def keep(run_dir: RunDir, told: dict[str, Any]) -> None:
    """Write what an audit told into the run's manifest, in place of an earlier one's."""
    with owned(run_dir.root, "run"):
        manifest = run_dir.manifest()
        if manifest is None:
            raise UsageError(f"{run_dir.root} is no finished run any more, so it cannot keep the audit")
        manifest["audit"] = told
        run_dir.finish(manifest)


def _telling(plan: Plan) -> Plan:
    """The plan with the indicators table among its tables: an audit looks at every value."""
    run = plan.config.run
    tables = sorted({*run.tables, *(["indicators"] if plan.indicators or plan.historical else [])})
    config: Config = plan.config.model_copy(update={"run": run.model_copy(update={"tables": tables})})
    return dataclasses.replace(plan, config=config)


def _interpretable(plan: Plan, chosen: list[int]) -> list[int]:
    """The first of the chosen sessions, and more of them while there are not too many rows."""
    taken: list[int] = []
    rows = 0.0
    for number in chosen:
        rows += plan.rows(plan.sessions[number].date) * (1 + len(plan.indicators) / 2)
        if taken and rows > INTERPRETED_ROWS:
            break
        taken.append(number)
    return taken


def _parts_elsewhere(path: Path, store: Path, task: Task, *, is_compiled: bool) -> dict[int, Audit]:
    """The same in a process of its own."""
    if is_compiled:
        jit.compiled()
    return _parts(_telling(plans.from_file(path, Store(store))), task)


def _parts(plan: Plan, task: Task) -> dict[int, Audit]:
    """What each session gave, by its number."""
    fresh = copied(plan)
    # What a strategy prints it would print hundreds of times.
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        return {
            number: _of_session(at, fresh, task, number)
            for number, at in zip(task.chosen, sampled(plan, task.chosen), strict=True)
        }


def _of_session(at: At, fresh: Plan, task: Task, number: int) -> Audit:
    reports = [_looked(level, task.every) for level in levels_of(at)]
    leaks: dict[tuple[str, str], dict[str, Any]] = {}
    day = at.loaded.session.date.isoformat()
    for report in reports:
        for leak in report.leaks:
            leaks.setdefault((leak.output, leak.column), {"session": day, **leak._asdict()})
    failures = [each for report in reports for each in report.failures]
    parity, compared = _compared(at, fresh, number, is_interpreted=number in task.interpreted)
    checks = sum(report.checks for report in reports)
    order = _order(at, failures)
    return Audit([day], checks, list(leaks.values()), parity, compared, order, {}, summed(failures))


def _looked(level: Level, every: int) -> Report:
    cuts = audit.instants_of(level.inputs, every=every)
    return audit.look_ahead(level.compute, level.inputs, cuts=cuts, poisons=level.poisons)


def _compared(at: At, fresh: Plan, number: int, *, is_interpreted: bool) -> tuple[list[str], dict[str, int]]:
    """What differs when the session is run otherwise, in words; and how it was run."""
    whole, plan = tables_at(at), at.plan
    ways: dict[str, dict[str, pa.Table]] = {}
    if plan.strategy is not None and plan.strategy.kind != "event":
        ways["replay"] = tables_at(at, plan=dataclasses.replace(plan, is_replayed=not plan.is_replayed))
    if is_interpreted:
        with jit.interpreted():
            ways["interpreted"] = tables_at(at)
    # Event strategies may remember, and are told the whole run again when it is resumed.
    if number and plan.strategy is not None and plan.strategy.kind != "event":
        ways["afresh"] = tables_at(at, plan=fresh)
    parity = [
        f"{at.loaded.session.date}: table {name} differs when run {way}{HINTS.get(way, '')}"
        for way, tables in ways.items()
        for name in sorted({*whole, *tables})
        if name not in whole or name not in tables or parquet(whole[name]) != parquet(tables[name])
    ]
    return parity, dict.fromkeys(ways, 1)


def _order(at: At, failures: list[Failure]) -> dict[str, int]:
    """In how many rows another order of the symbols changes a wish, by its bits, and what fills, beyond rounding.

    Wishes are those of a strategy's own frames; fills those of the whole session, decided in the reverse order.
    """
    counts: dict[str, int] = {}
    own = own_code(at)
    try:
        if own is not None:
            found = audit.order_sensitive(own.compute, own.inputs)
            counts |= {f"{output}.{column}": rows for (output, column), rows in found.items()}
        if at.plan.strategy is not None and len(at.plan.symbols) > 1:
            rows = _unlike_fills(tables_at(at)["fills"], turned(at)["fills"])
            counts |= {"fills.quantity": rows} if rows else {}
    except Exception as error:  # the strategy's own, which may count on the order
        failures.append(failure(error))
    return counts


def _unlike_fills(fills: pa.Table, others: pa.Table) -> int:
    """At how many labels and symbols the units or the money of the fills differ."""
    signed = pl.col("side") * pl.col("quantity")
    keys = [pl.col("timestamp"), pl.col("symbol").cast(pl.String)]
    sides = [
        pl.DataFrame(table).group_by(keys).agg(units=signed.sum(), money=(signed * pl.col("price")).sum())
        for table in (fills, others)
    ]
    pairs = sides[0].join(sides[1], on=["timestamp", "symbol"], how="full", coalesce=True).fill_null(0.0)
    unlike = [
        (pl.col(name) - pl.col(f"{name}_right")).abs() > ROUNDING * pl.max_horizontal(pl.col(name).abs(), 1.0)
        for name in ("units", "money")
    ]
    return pairs.filter(pl.any_horizontal(unlike)).height


def _together(parts: Iterable[Audit]) -> Audit:
    """The sessions' audits as one."""
    sessions: list[str] = []
    parity: list[str] = []
    leaks: dict[tuple[str, str], dict[str, Any]] = {}
    sums: dict[str, dict[str, int]] = {"compared": {}, "order": {}}
    failures: list[Failure] = []
    checks = 0
    for part in parts:
        checks += part.checks
        sessions += part.sessions
        parity += part.parity
        failures += part.failures
        for leak in part.leaks:
            first = leaks.setdefault((leak["output"], leak["column"]), leak)
            if first is not leak:
                first["places"] += leak["places"]
                first["distance_bars"] = max(first["distance_bars"], leak["distance_bars"])
        for name, total in sums.items():
            for key, count in getattr(part, name).items():
                total[key] = total.get(key, 0) + count
    order = [*MOMENTS]
    ranked = sorted(leaks.values(), key=lambda leak: (order.index(leak["output"]), leak["session"], leak["timestamp"]))
    return Audit(sessions, checks, ranked, parity, sums["compared"], sums["order"], {}, summed(failures))
