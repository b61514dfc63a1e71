"""One symbol's side of a session as it is known at the clock: the fast way to read it, bound once."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple, TypeVar

import numpy as np

from backtester.arrays import Float64
from backtester.errors import StrategyError
from backtester.features.rows import Rows
from backtester.strategy.past import Past
from backtester.strategy.series import Bar, BarSlice, Clock, Columns, Series, no_bars, row_columns

Held = TypeVar("Held")


class Gap(NamedTuple):
    """Missing bars in a row, as far as it is known; `closing` once the session's last bar is known to be missing."""

    kind: str
    first_missing: int
    last_missing: int
    missing_bars: int


class SessionMetrics(NamedTuple):
    """Session to date; prices and the instant are None before the first bar, vwap before the first volume."""

    session_volume: float
    session_high: float | None
    session_low: float | None
    session_vwap: float | None
    bars: int
    quality_pct: float
    last_update: int | None


class GapColumns(NamedTuple):
    """Every gap of the session, each symbol's in time order; symbol c's are starts[c] to starts[c + 1] - 1."""

    starts: list[int]
    first: memoryview  # the gap's first label, counted in the expected ones
    length: memoryview
    before: list[int]  # missing bars of all gaps before each in this order
    labels: memoryview  # the expected labels
    known_at: memoryview  # of each expected label

    @classmethod
    def of(cls, rows: Rows) -> GapColumns:
        """Where a symbol has no row at an expected label."""
        symbols, expected = len(rows.symbols), rows.grid.grid.expected
        due = np.flatnonzero(expected >= 0)
        missing = np.ones((symbols, len(due) + 2), dtype=np.int8)
        missing[:, [0, -1]] = 0
        ordinal = expected[rows.label]
        missing[rows.codes[ordinal >= 0], ordinal[ordinal >= 0] + 1] = 0
        edges = np.diff(missing, axis=1)
        symbol, first = np.nonzero(edges == 1)
        length = np.nonzero(edges == -1)[1] - first
        starts = np.concatenate([[0], np.cumsum(np.bincount(symbol, minlength=symbols))]).tolist()
        before = [0, *accumulate(length.tolist())]
        labels, known_at = rows.grid.labels[due], rows.label_known_at[due]
        return cls(starts, first.data, length.data, before, labels.data, known_at.data)

    def missing(self, code: int, label: int) -> int:
        """How many of a symbol's expected bars before the `label`-th are missing."""
        low = self.starts[code]
        gap = bisect_left(self.first, label, low, self.starts[code + 1]) - 1
        if gap < low:
            return 0
        return self.before[gap] - self.before[low] + min(self.length[gap], label - self.first[gap])


class View:
    """What the symbols of a session share; columns are laid out by symbol when they are first read."""

    def __init__(
        self,
        rows: Rows,
        interval: str,
        clock: Clock,
        past: Past,
        derived: Mapping[str, Columns],
        indicators: Mapping[str, Float64],
        historical: Mapping[str, Float64],
    ) -> None:
        self.interval = interval
        self.clock = clock
        self.running = rows.running
        self.past = past
        self.indicators = indicators
        self.historical = {key: dict(enumerate(values.tolist())) for key, values in historical.items()}
        self.said_quality: dict[int, float] = {}
        self._rows = rows
        self._derived = derived
        self._made: dict[str, Series] = {}

    @cached_property
    def source(self) -> Series:
        """The bars of the run's own interval."""
        return Series(row_columns(self._rows), symbols=len(self._rows.symbols), clock=self.clock)

    @cached_property
    def source_rows(self) -> memoryview:
        """The session's row that each row of `source` is."""
        return self.source.order.data

    @cached_property
    def gaps(self) -> GapColumns:
        """Every gap of the session."""
        return GapColumns.of(self._rows)

    def series(self, interval: str | None) -> Series:
        """The bars of an interval, None for the run's own; StrategyError if the run has none of it."""
        if interval is None or interval == self.interval:
            return self.source
        if interval not in self._made:
            columns = _named(self._derived, interval, f"an interval of this run besides {self.interval}")
            self._made[interval] = Series(columns, symbols=len(self._rows.symbols), clock=self.clock)
        return self._made[interval]


class SymbolData:
    """One symbol at the clock; intervals are named as in the config, None is the source's.

    While the session is inactive and after the symbol left it, every read gives nothing.
    """

    def __init__(self, view: View, symbol: str, code: int) -> None:
        self.symbol = symbol
        self.code = code
        self._view = view
        self._clock = view.clock
        self._has_left = False
        self._since: int | None = None
        self._sums = (0, 0.0, 0.0, -np.inf, np.inf)

    def see_from(self, since: int) -> None:
        """Bars known before `since` are not seen any more."""
        self._since = since
        self._sums = (self._view.source.start(self.code, since), 0.0, 0.0, -np.inf, np.inf)

    def leave(self) -> None:
        """Give nothing from now on."""
        self._has_left = True

    def latest(self, interval: str | None = None) -> Bar | None:
        """The latest bar."""
        series, low, high = self._span(interval)
        return series.bar(self.symbol, high - 1) if high > low else None

    def last(self, count: int, interval: str | None = None) -> BarSlice:
        """The last `count` bars, fewer if there are fewer."""
        series, low, high = self._span(interval)
        return series.slice(self.code, max(low, high - max(count, 0)), high)

    def since(self, timestamp: int, interval: str | None = None) -> BarSlice:
        """The bars labelled `timestamp` or later."""
        series, low, high = self._span(interval)
        return series.slice(self.code, series.labelled(timestamp, low, high), high)

    def bars(self, interval: str | None = None) -> BarSlice:
        """Every bar of the session so far."""
        series, low, high = self._span(interval)
        return series.slice(self.code, low, high)

    def count(self, interval: str | None = None) -> int:
        """How many bars there are so far."""
        _, low, high = self._span(interval)
        return high - low

    @property
    def close(self) -> float | None:
        """The latest close, the mark price."""
        series, low, high = self._span(None)
        return series.close[high - 1] if high > low else None

    @property
    def volume(self) -> float | None:
        """Session volume so far, 0 before the first bar."""
        row = self._row()
        if row is None:
            return 0.0 if self.is_seen else None
        return self._view.running.volume.item(row) if self._since is None else self._totals()[1]

    @property
    def high(self) -> float | None:
        """Session high so far."""
        row = self._row()
        if row is None:
            return None
        return self._view.running.high.item(row) if self._since is None else self._totals()[3]

    @property
    def low(self) -> float | None:
        """Session low so far."""
        row = self._row()
        if row is None:
            return None
        return self._view.running.low.item(row) if self._since is None else self._totals()[4]

    @property
    def vwap(self) -> float | None:
        """Volume-weighted typical price so far, None before the first volume."""
        row = self._row()
        if row is None:
            return None
        if self._since is None:
            return _number(self._view.running.vwap.item(row))
        _, volume, traded, _, _ = self._totals()
        return traded / volume if volume > 0.0 else None

    def metrics(self) -> SessionMetrics | None:
        """Every running value at once."""
        volume, quality_pct = self.volume, self.quality_pct
        if volume is None or quality_pct is None:
            return None
        series, low, high = self._span(None)
        last_update = series.timestamp[high - 1] if high > low else None
        return SessionMetrics(volume, self.high, self.low, self.vwap, high - low, quality_pct, last_update)

    def gaps(self) -> list[Gap]:
        """The missing bars so far, in runs."""
        begin, due = self._due()
        columns, found = self._view.gaps, []
        for gap in range(columns.starts[self.code], columns.starts[self.code + 1]):
            first, end = max(columns.first[gap], begin), min(columns.first[gap] + columns.length[gap], due)
            if first < end:
                kind = "opening" if first == 0 else "closing" if end == len(columns.labels) else "inside"
                found.append(Gap(kind, columns.labels[first], columns.labels[end - 1], end - first))
        return found

    @property
    def quality_pct(self) -> float | None:
        """100 x present / expected bars so far, 100 before the first is expected; or what was said."""
        if not self.is_seen:
            return None
        said = self._view.said_quality.get(self.code)
        begin, due = self._due()
        if said is not None or begin == due:
            return 100.0 if said is None else said
        missing = self._view.gaps.missing(self.code, due) - self._view.gaps.missing(self.code, begin)
        return 100.0 * (due - begin - missing) / (due - begin)

    def indicator(self, key: str) -> float | None:
        """An indicator with the latest bar; None before the first bar and where it is not warm."""
        values = _named(self._view.indicators, key, "an indicator of this run")
        row = self._row()
        return None if row is None else _number(values.item(row))

    def historical(self, key: str) -> float | None:
        """A historical indicator; None where there is too little history."""
        values = _named(self._view.historical, key, "a historical indicator of this run")
        return _number(values.get(self.code, np.nan)) if self.is_seen else None

    def all_historical(self) -> dict[str, float]:
        """Every historical indicator that has a value."""
        found = {key: self.historical(key) for key in self._view.historical}
        return {key: value for key, value in found.items() if value is not None}

    def history(self, sessions_back: int | None = None) -> BarSlice:
        """Source bars of the trailing sessions, of the last `sessions_back` if given."""
        return self._view.past.bars(self.code, sessions_back) if self.is_seen else no_bars()

    @property
    def is_seen(self) -> bool:
        """True while reads give what is known."""
        return self._clock.is_active and not self._has_left

    def _span(self, interval: str | None) -> tuple[Series, int, int]:
        series = self._view.source if interval is None else self._view.series(interval)
        low = series.start(self.code, self._since)
        return series, low, series.end(self.code) if self._clock.is_active and not self._has_left else low

    def _row(self) -> int | None:
        _, low, high = self._span(None)
        return self._view.source_rows[high - 1] if high > low else None

    def _due(self) -> tuple[int, int]:
        """The expected labels from the first that is seen to those known by now."""
        known_at = self._view.gaps.known_at
        begin = 0 if self._since is None else bisect_left(known_at, self._since)
        return begin, max(bisect_right(known_at, self._clock.now), begin) if self.is_seen else begin

    def _totals(self) -> tuple[int, float, float, float, float]:
        """(row reached, volume, traded, high, low) since the first bar seen, in the order the pass adds them."""
        row, volume, traded, high, low = self._sums
        series, _, end = self._span(None)
        while row < end:
            volume += series.volume[row]
            traded += (series.high[row] + series.low[row] + series.close[row]) / 3.0 * series.volume[row]
            high, low = max(high, series.high[row]), min(low, series.low[row])
            row += 1
        self._sums = (row, volume, traded, high, low)
        return self._sums


def _named(held: Mapping[str, Held], key: str, what: str) -> Held:
    if key not in held:
        raise StrategyError(f"{key!r} is not {what}; it has {', '.join(held) or 'none'}")
    return held[key]


def _number(value: float) -> float | None:
    return None if value != value else value  # NaN alone differs from itself
