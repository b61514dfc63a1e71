"""The metrics of a run with a strategy: computed when its last session is committed, from what the sessions left."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pyarrow as pa

from backtester.data.calendar import Calendar
from backtester.data.run_dir import RunDir
from backtester.results.collected import Collected
from backtester.results.facts import DAY_US, Terms
from backtester.results.metrics import compute
from backtester.run.plan import Plan


def measure(plan: Plan, run_dir: RunDir, collected: Collected) -> pa.Table:
    """METRICS of the run; sessions that `collected` lacks are read from the run."""
    collected.read(run_dir, [session.date.isoformat() for session in plan.sessions])
    return compute(collected.tables(), terms_of(plan), benchmark=collected.benchmark_returns())


def terms_of(plan: Plan) -> Terms:
    """What the tables do not hold: the capital, the calendar's year, the risk-free return."""
    first, last = plan.sessions[0], plan.sessions[-1]
    midnight = dt.datetime.combine(first.date, dt.time(), ZoneInfo(plan.calendar.zone))
    return Terms(
        capital=plan.config.execution.capital,
        sessions_per_year=sessions_per_year(plan.calendar, first.date.year, last.date.year),
        risk_free_frac=plan.config.metrics.risk_free_frac,
        interval_us=plan.config.interval.us,
        elapsed_days=(last.close_at - midnight.timestamp() * 1e6) / DAY_US,
    )


def sessions_per_year(calendar: Calendar, first: int, last: int) -> float:
    """Sessions of the calendar in the years from `first` to `last`, a year; by days where those are not all known."""
    start, end = dt.date(first, 1, 1), dt.date(last, 12, 31)
    if calendar.first <= start and end <= calendar.last:
        return len(calendar.sessions(start, end)) / (last - first + 1)
    start, end = max(start, calendar.first), min(end, calendar.last)
    return len(calendar.sessions(start, end)) / (((end - start).days + 1) / 365.25)
