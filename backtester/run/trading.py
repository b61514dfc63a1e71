"""A session's decisions and what comes of them: steps 5.5 and 5.6, where a strategy meets the ledger."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from backtester.arrays import Float64, Int32, Requests, UInt8, frozen
from backtester.config import Config
from backtester.data.calendar import Session
from backtester.execution.carry import state_of, tables_of
from backtester.execution.clock import clock_of, market_of, session_labels
from backtester.execution.simulate import Ledger
from backtester.execution.tables import ledger_tables
from backtester.features.rows import Rows
from backtester.kernels import codes
from backtester.kernels import state as layout
from backtester.kernels.stepping import Stepper
from backtester.run.commit import Carry
from backtester.run.flow import Flow, Step
from backtester.run.plan import Plan
from backtester.strategy import columns
from backtester.strategy.loading import Loaded
from backtester.strategy.signals import signals_table


class Decided(NamedTuple):
    """A session's rows, and what the strategy asks at each of them; symbols as the session counts them."""

    rows: Rows
    requests: Requests
    tables: dict[str, pa.Table]


def decide(strategy: Loaded, rows: Rows, indicators: Mapping[str, Float64], flow: Flow) -> Decided:
    """Step 5.5: the strategy's wishes as requests; indicators by key, one value a row."""
    with flow.step("5.5") as step:
        requests = columns.requests(strategy, rows, indicators)
        signals = signals_table(requests, labels=rows.grid.labels, known_at=rows.label_known_at, symbols=rows.symbols)
        step.rows = signals.num_rows
        step.detail = f"{strategy.use}: {step.rows} signals on {len(rows.label)} bars"
    return Decided(rows, requests, {"signals": signals})


def trade(plan: Plan, decided: Decided, carry: Carry, flow: Flow) -> dict[str, pa.Table]:
    """Step 5.6: the ledger over the session; its tables, those that it hands to the next session among them."""
    with flow.step("5.6") as step:
        code = codes_in_run(plan, decided.rows)
        asked = decided.requests._replace(symbol=frozen(code[decided.requests.symbol]))
        ledger = ledger_of(plan, decided.rows, carry, expected=len(asked.label))
        if plan.is_replayed:
            run_by_label(ledger, asked)
        else:
            ledger.run(asked)
        return written(plan, ledger, decided.rows.session, step)


def ledger_of(plan: Plan, rows: Rows, carry: Carry, *, expected: int = 0, stepper: Stepper | None = None) -> Ledger:
    """The ledger of a session, before its first label; `stepper` is that of a compiled strategy."""
    config, symbols = plan.config, plan.symbols
    place = plan.sessions.index(rows.session)
    labels = session_labels(
        rows.session, rows.grid.labels, rows.grid.grid, step=config.interval.us, rows=len(rows.label)
    )
    before = plan.sessions[place - 1].date if place else None
    # The rows lie one after the other here, those outside the run's hours left out.
    bounds = np.searchsorted(rows.label, np.arange(len(rows.grid.labels) + 1)).astype(np.int64)
    clock = clock_of([labels], before=before, flat_by_us=config.limits.flat_by_us)._replace(
        known_at=frozen(rows.label_known_at), starts=frozen(bounds[:-1]), ends=frozen(bounds[1:])
    )
    market = market_of(rows.bars, codes_in_run(plan, rows)[rows.codes], flags_of(rows, config))
    state = state_of(carry, symbols, config.execution.capital)
    is_last = place == len(plan.sessions) - 1
    return Ledger(clock, market, rules=plan.rules, state=state, is_last=is_last, expected=expected, stepper=stepper)


def run_by_label(ledger: Ledger, requests: Requests) -> None:
    """Every label by itself, its requests handed over when it is decided: what a replay does with a frame of wishes."""
    bounds = np.searchsorted(requests.label, np.arange(len(ledger.clock.timestamp) + 1)).tolist()
    rows = len(requests.label)
    for t, (low, high) in enumerate(itertools.pairwise(bounds)):
        ledger.open_label(t)
        columns: list[Any] = [frozen(np.broadcast_to(column, rows)[low:high]) for column in requests]
        ledger.close_label(t, Requests(*columns))


def written(plan: Plan, ledger: Ledger, session: Session, step: Step) -> dict[str, pa.Table]:
    """What the ledger left of a session, as tables."""
    done, symbols = ledger.done(), plan.symbols
    tables = ledger_tables(done, symbols, is_last=session == plan.sessions[-1])
    tables |= tables_of(done.state, symbols, fifo=plan.config.execution.lots == "fifo")
    step.rows = tables["fills"].num_rows
    held = int(done.state.counters[layout.HELD])
    step.detail = f"{step.rows} fills, equity {done.final_equity:,.2f}, {held} positions held"
    return tables


def flags_of(rows: Rows, config: Config) -> UInt8:
    """What the ledger is told of each bar: gaps beside it, no volume, and why no entry may be decided on it."""
    flags = np.zeros(len(rows.label), dtype=np.uint8)
    flags[rows.missing_before > 0] |= codes.GAP_BEFORE
    flags[rows.missing_after > 0] |= codes.GAP_AFTER
    flags[rows.bars.volume == 0.0] |= codes.DEFECTIVE
    flags[rows.quality_pct < config.quality.minimum_pct] |= codes.NO_ENTRY
    if config.quality.max_stale_bars is not None:
        flags[rows.missing_before > config.quality.max_stale_bars] |= codes.NO_ENTRY
    if rows.selected is not None:
        flags[~rows.selected.on(rows.known_at, rows.codes)] |= codes.UNSELECTED
    return flags


def codes_in_run(plan: Plan, rows: Rows) -> Int32:
    """The run's code of each of a session's symbols."""
    place = {symbol: code for code, symbol in enumerate(plan.symbols)}
    return np.array([place[name] for name in rows.symbols.to_pylist()], dtype=np.int32)
