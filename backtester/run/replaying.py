"""A session told to an event strategy: steps 5.5 and 5.6 in one, since what it asks depends on what has filled."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from backtester.arrays import Float64
from backtester.data.columns import text
from backtester.features.intraday import Pass
from backtester.features.rows import Rows
from backtester.run import trading
from backtester.run.commit import Carry
from backtester.run.flow import Flow
from backtester.run.loading import read_bars
from backtester.run.plan import Plan
from backtester.strategy.events import Desk
from backtester.strategy.loading import Loaded
from backtester.strategy.replay import replay_session
from backtester.strategy.series import Columns, derived_columns
from backtester.strategy.session_data import SessionData
from backtester.strategy.signals import signals_table


class Seen(NamedTuple):
    """What a strategy may look at in a session, once it is known."""

    done: Pass
    rows: Rows
    indicators: Mapping[str, Float64]  # by key, one value a row
    tables: Mapping[str, pa.Table]  # `historical_indicators` among them, where there are any


def tell(plan: Plan, strategy: Loaded, seen: Seen, carry: Carry, flow: Flow) -> dict[str, pa.Table]:
    """The session row by row; its signals and the ledger's tables."""
    rows, symbols = seen.rows, plan.symbols
    with flow.step("5.6") as step:
        derived = derived_of(plan, seen.done)
        ledger = trading.ledger_of(plan, rows, carry)
        desk = Desk(ledger, symbols, rows.grid.labels)
        data = session_data(plan, seen)
        replay_session(strategy.strategy, rows, data, desk, derived=derived, use=strategy.use)
        signals = signals_table(desk.made, labels=rows.grid.labels, known_at=rows.label_known_at, symbols=text(symbols))
        tables = trading.written(plan, ledger, rows.session, step)
        step.detail = f"{strategy.use}: {signals.num_rows} signals on {len(rows.label)} bars, {step.detail}"
    return {"signals": signals, **tables}


def session_data(plan: Plan, seen: Seen) -> SessionData:
    """The session as it is known at its clock, at its open."""
    session = seen.rows.session

    def trailing() -> list[tuple[date, pa.Table]]:
        universe = plan.universe(session.date)
        return [
            (past.date, read_bars(plan, plan.entry(past.date), universe)[0]) for past in plan.trailing(session.date)
        ]

    return SessionData(
        seen.rows,
        plan.config.interval,
        derived=derived_of(plan, seen.done),
        trailing=trailing,
        indicators=seen.indicators,
        historical=_historical(seen),
    )


def derived_of(plan: Plan, done: Pass) -> dict[str, Columns]:
    """The derived bars by interval, narrow to wide, the run's own interval left out."""
    own = plan.config.interval
    return {str(each): derived_columns(done, place) for place, each in enumerate(plan.derived) if each != own}


def _historical(seen: Seen) -> dict[str, Float64]:
    """Historical indicators by key, one value per symbol of the session."""
    table = seen.tables.get("historical_indicators")
    names: list[str] = seen.rows.symbols.to_pylist()
    place = {name: code for code, name in enumerate(names)}
    found: dict[str, Float64] = {}
    if table is not None:
        for key, symbol, value in zip(*(table[name].to_pylist() for name in ("key", "symbol", "value")), strict=True):
            if symbol in place and value is not None:
                found.setdefault(key, np.full(len(names), np.nan))[place[symbol]] = value
    return found
