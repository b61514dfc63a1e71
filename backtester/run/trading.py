"""A session's decisions and what comes of them: steps 5.5 and 5.6, where a strategy meets the ledger."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa

from backtester.arrays import Requests
from backtester.data.calendar import Session
from backtester.features.intraday import Pass
from backtester.features.rows import Rows, rows_of
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


def decide(plan: Plan, strategy: Loaded, done: Pass, session: Session, flow: Flow) -> Decided:
    """Step 5.5: the strategy's wishes as requests."""
    with flow.step("5.5") as step:
        rows = rows_of(done, session, plan.derived, plan.config.interval)
        requests = columns.requests(strategy, rows, {})
        signals = signals_table(requests, labels=rows.grid.labels, known_at=rows.label_known_at, symbols=rows.symbols)
        step.rows = signals.num_rows
        step.detail = f"{strategy.use}: {step.rows} signals on {len(rows.label)} bars"
    return Decided(rows, requests, {"signals": signals})
