"""A session's indicators: step 5.4, on their series, on the rows a strategy decides on, and as a table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from backtester.arrays import Float64
from backtester.data.calendar import NO_BREAK, Calendar, Session
from backtester.data.columns import dictionary, empty, instants, numbers, text
from backtester.errors import StoreError
from backtester.features.catalog import Use
from backtester.features.intraday import Pass, run_pass
from backtester.interval import Interval
from backtester.run.flow import Flow
from backtester.run.loading import read_bars
from backtester.run.plan import Plan
from backtester.schema import INDICATOR_STATE, indicators_schema

# What computes them is imported by what calls it: a run without indicators has no use for it.
if TYPE_CHECKING:
    from backtester.features.series import Series

A_YEAR = timedelta(days=365)


@dataclass(frozen=True)
class Indicated:
    """A session's indicators as far as they are computed."""

    series: dict[str, Series]  # by interval
    values: dict[str, Float64]  # by column, in the rows of its series
    before: dict[str, Float64]  # a continuous column's value before the session's first bar, by symbol
    state: pa.Table | None = None

    def on_rows(self, plan: Plan) -> dict[str, Float64]:
        """Every column on the rows of the run's interval, in the tables' order, as each row knows it."""
        if not plan.indicators:
            return {}
        from backtester.features.indicators import Computed, on_base

        computed = Computed(self.values, self.before, None, {})
        return on_base(computed, plan.indicators, self.series, str(plan.config.interval))

    def wider_by(self, plan: Plan, instant: int) -> dict[str, Float64]:
        """The columns of intervals wider than the run's, one value a symbol, as known at an instant."""
        from backtester.features.series import latest_by

        found = {}
        for use in plan.indicators:
            if use.interval != str(plan.config.interval):
                rows = latest_by(self.series[use.interval], instant, partial=use.partial)
                for column in use.columns:
                    values = self.before[column].copy()
                    values[rows >= 0] = self.values[column][rows[rows >= 0]]
                    found[column] = values
        return found


def begin(plan: Plan, done: Pass, session: Session) -> Indicated:
    """The series that indicators read; none where none are asked for."""
    series: dict[str, Series] = {}
    if not plan.indicators and "indicators" not in plan.config.run.tables:
        return Indicated(series, {}, {})
    from backtester.features.series import base_series, derived_series

    for interval in sorted({plan.config.interval, *(Interval.parse(use.interval) for use in plan.indicators)}):
        if interval == plan.source:
            series[str(interval)] = base_series(done, session, interval)
        else:
            series[str(interval)] = derived_series(done, session, interval, plan.derived.index(interval))
    return Indicated(series, {}, {})


def indicate(
    plan: Plan, held: Indicated, session: Session, flow: Flow, *, uses: list[Use], state: pa.Table | None = None
) -> Indicated:
    """`held` with the values of `uses`, of which continuous ones go on from `state`."""
    from backtester.features.indicators import indicator_columns

    with flow.step("5.4") as step:
        year = {name: bars_a_year(plan.calendar, session.date, Interval.parse(name)) for name in held.series}
        computed = indicator_columns(uses, held.series, _with_dictionaries(state), bars_a_year=year)
        values = [column for use in uses for column in use.columns]
        step.rows = sum(len(computed.values[column]) for column in values)
        off = ", ".join(f"{key} {count}" for key, count in computed.off_tick.items() if count)
        scopes = " and ".join(sorted({use.scope for use in uses}))
        step.detail = f"Complete - {len(uses)} indicators of {scopes} scope, {len(values)} columns"
        step.detail += f"; values read that are no multiple of a tick: {off}" if off else ""
    return replace(
        held, values=held.values | computed.values, before=held.before | computed.before, state=computed.state
    )


def warmed(plan: Plan) -> pa.Table | None:
    """The state that continuous indicators begin the run with: that of the sessions of plan.warm_up, None without any.

    StoreError if one of them is damaged: a value would not say that its past has a hole.
    """
    uses = [use for use in plan.indicators if use.is_chained]
    state: pa.Table | None = None
    for session in plan.warm_up:
        bars, damaged = read_bars(plan, plan.entry(session.date), plan.universe(session.date))
        if damaged:
            raise StoreError(f"{session.date}, a session of the warm-up: {damaged[0][0]}: {damaged[0][1]}")
        done = run_pass(bars, session, interval=plan.source, derived=plan.derived, hours=plan.config.run.hours)
        flow = Flow(session.date.isoformat())
        state = indicate(plan, begin(plan, done, session), session, flow, uses=uses, state=state).state
    return state


def indicators_table(plan: Plan, held: Indicated, more: dict[str, Float64]) -> pa.Table:
    """INDICATORS: each interval's rows with the columns of its uses.

    more  further columns on the rows of the run's interval, in the tables' order
    """
    from backtester.features.series import label_major

    base = str(plan.config.interval)
    columns = [column for use in plan.indicators for column in use.columns] + list(more)
    schema = indicators_schema(columns)
    intervals = sorted({*(use.interval for use in plan.indicators), *([base] if more else [])}, key=Interval.parse)
    tables = []
    for k, name in enumerate(intervals):
        series = held.series[name]
        rows = len(series.timestamps)
        own = {
            column: label_major(series, held.values[column])
            for use in plan.indicators
            if use.interval == name
            for column in use.columns
        } | (more if name == base else {})
        # Where each row of the tables' order lies in the series.
        at = np.argsort(series.order)
        codes = np.repeat(np.arange(len(series.symbols), dtype=np.int32), np.diff(series.offsets))
        arrays = [
            dictionary(np.full(rows, k, dtype=np.int32), text(intervals)),
            instants(series.timestamps[at]),
            dictionary(codes[at], series.symbols),
            instants(series.known_at[at]),
            *(
                numbers(own[column], null=np.isnan(own[column])) if column in own else pa.nulls(rows, pa.float64())
                for column in columns
            ),
        ]
        tables.append(pa.Table.from_arrays(arrays, schema=schema))
    return pa.concat_tables(tables) if tables else empty(schema)


def bars_a_year(calendar: Calendar, day: date, interval: Interval) -> float:
    """How many whole bars of `interval` the calendar has in the 365 days before `day`, or in its own first 365."""
    until = max(day, calendar.first + A_YEAR)
    columns = calendar.columns
    low, high = (int(np.searchsorted(columns.dates, np.datetime64(each, "D"))) for each in (until - A_YEAR, until))
    rows = slice(low, high)
    if not interval.is_intraday:
        return float(high - low)
    opens, closes, starts, ends = (each[rows] for each in columns[1:5])
    has_break = starts != NO_BREAK
    bars = np.where(has_break, starts - opens, closes - opens) // interval.us
    return float(bars.sum() + ((closes - ends)[has_break] // interval.us).sum())


def _with_dictionaries(state: pa.Table | None) -> pa.Table | None:
    """A carry's words as codes again: it holds them as text, whatever file or table it comes from."""
    if state is None or pa.types.is_dictionary(state.schema.field("key").type):
        return state
    words = {name: state.column(name).combine_chunks().dictionary_encode() for name in ("symbol", "key")}
    return pa.Table.from_arrays(
        [words["symbol"], words["key"], state.column("values").combine_chunks()], schema=INDICATOR_STATE
    )
