"""A session's decisions and what comes of them: steps 5.5 and 5.6, where a strategy meets the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from backtester.arrays import Float64, Int32, Requests, UInt8, frozen
from backtester.config import Config
from backtester.execution.carry import state_of, tables_of
from backtester.execution.clock import clock_of, market_of, session_labels
from backtester.execution.simulate import simulate
from backtester.execution.tables import ledger_tables
from backtester.features.rows import Rows
from backtester.kernels import codes
from backtester.kernels import state as layout
from backtester.run.commit import Carry
from backtester.run.flow import Flow
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
        rows, config, symbols = decided.rows, plan.config, plan.symbols
        place = plan.sessions.index(rows.session)
        is_last = place == len(plan.sessions) - 1
        labels = session_labels(
            rows.session, rows.grid.labels, rows.grid.grid, step=config.interval.us, rows=len(rows.label)
        )
        before = plan.sessions[place - 1].date if place else None
        # The rows lie one after the other here, those outside the run's hours left out.
        bounds = np.searchsorted(rows.label, np.arange(len(rows.grid.labels) + 1)).astype(np.int64)
        clock = clock_of([labels], before=before, flat_by_us=config.limits.flat_by_us)._replace(
            known_at=frozen(rows.label_known_at), starts=frozen(bounds[:-1]), ends=frozen(bounds[1:])
        )
        code = _codes(rows.symbols, symbols)
        market = market_of(rows.bars, code[rows.codes], flags_of(rows, config))
        done = simulate(
            clock,
            market,
            decided.requests._replace(symbol=frozen(code[decided.requests.symbol])),
            rules=plan.rules,
            state=state_of(carry, symbols, config.execution.capital),
            is_last=is_last,
        )
        tables = ledger_tables(done, symbols, is_last=is_last)
        tables |= tables_of(done.state, symbols, fifo=config.execution.lots == "fifo")
        step.rows = tables["fills"].num_rows
        held = int(done.state.counters[layout.HELD])
        step.detail = f"{step.rows} fills, equity {done.final_equity:,.2f}, {held} positions held"
    return tables


def flags_of(rows: Rows, config: Config) -> UInt8:
    """What the ledger is told of each bar: gaps beside it, no volume, and that no entry may be decided on it."""
    flags = np.zeros(len(rows.label), dtype=np.uint8)
    flags[rows.missing_before > 0] |= codes.GAP_BEFORE
    flags[rows.missing_after > 0] |= codes.GAP_AFTER
    flags[rows.bars.volume == 0.0] |= codes.DEFECTIVE
    flags[rows.quality_pct < config.quality.minimum_pct] |= codes.NO_ENTRY
    if config.quality.max_stale_bars is not None:
        flags[rows.missing_before > config.quality.max_stale_bars] |= codes.NO_ENTRY
    return flags


def _codes(names: pa.StringArray, symbols: Sequence[str]) -> Int32:
    """The run's code of each of a session's symbols."""
    place = {symbol: code for code, symbol in enumerate(symbols)}
    return np.array([place[name] for name in names.to_pylist()], dtype=np.int32)
