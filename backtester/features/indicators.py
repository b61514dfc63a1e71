"""Session indicators: the uses of a config, computed over a session's series.

    uses, problems = catalog.uses_of(config.indicators, run_interval="1m", find=foreign.find)
    series = {"1m": base_series(done, session, plan.source), "5m": derived_series(done, session, five, k)}
    computed = indicator_columns(uses, series, state, bars_a_year={"1m": 98_280.0, "5m": 19_656.0})

`computed.values["sma_20"]` has one float64 a row of the series of its use's interval, by (symbol, timestamp), NaN
where there is no value; `label_major` (features/series.py) puts it into the tables' order, and `on_base` onto the
base rows, where a wider interval's value appears when it is known. `computed.state` is INDICATOR_STATE, to be handed to
the next session; it is None unless a use is of continuous scope (`use.is_chained`). Pass None at the first session.
A use of session scope looks at this session's rows alone and needs no state.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from backtester.arrays import Bars, Bool, Columns, Float64, Int64, Scratch, Spans, Ticks, frozen
from backtester.errors import InputError
from backtester.features.blocks import floats, integers
from backtester.features.catalog import SUMS, Indicator, Use, find_indicator
from backtester.features.indicator_state import (
    ROWS,
    Lists,
    State,
    empty_lists,
    read_state,
    rows_of,
    spread,
    square,
    write_state,
)
from backtester.features.series import Series, as_of, label_major, taken, whole_bars
from backtester.kernels.rolling_rows import unbroken, whole_ticks

_CARRIED = Bars._fields
# Whole numbers stay below this, a factor 2 from where int64 wraps.
MOST = 2.0**62
MOST_DISTANCE = 2**40


class Computed(NamedTuple):
    """Every column of every use, in the rows of its own series, and what the next session needs."""

    values: dict[str, Float64]
    before: dict[
        str, Float64
    ]  # [symbols]: a continuous column's value before the session's first bar is known, else NaN
    state: pa.Table | None
    off_tick: dict[str, int]  # by key: the session's values it reads that are no multiple of its tick, and were rounded


class _Stream(NamedTuple):
    """One series as uses of one scope see it: the rows carried and the session's."""

    series: Series
    spans: Spans
    bars: Bars  # rows carried included
    elapsed: Int64
    rows: Int64  # where the session's rows are
    run: Int64  # consecutive bars without a missing one, per session row
    since: Int64  # 1 where none is missing since the open
    run_after: Float64


def indicator_columns(
    uses: Sequence[Use],
    series: Mapping[str, Series],
    state: pa.Table | None = None,
    *,
    bars_a_year: Mapping[str, float],
) -> Computed:
    """Compute every use over one session; see the module's text."""
    values: dict[str, Float64] = {}
    before: dict[str, Float64] = {}
    off_tick: dict[str, int] = {}
    if not uses:
        return Computed(values, before, None, off_tick)
    symbols = series[uses[0].interval].symbols
    held, kept = read_state(state, symbols), State()
    found = {use.key: find_indicator(use.name, _foreign) for use in uses}
    for (interval, scope, partial), members in _grouped(uses).items():
        whole = series[interval]
        own, keep = (whole, None) if partial else whole_bars(whole)
        rows = max(_rows(found[use.key], use) for use in members) if scope == "continuous" else 0
        key = f"{ROWS}{interval}+partial" if partial else f"{ROWS}{interval}"
        stream = _stream(own, held.get(key) if scope == "continuous" else None, carries=scope == "continuous")
        if scope == "continuous":
            kept[key] = _tail(stream, rows)
        ticks = _TickColumns(stream)
        for use in members:
            indicator = found[use.key]
            out = _computed(use, indicator, stream, ticks, held, kept, bars_a_year.get(interval, np.nan))
            if use.missing == "require":
                out[:, ~_is_whole(use, indicator, stream)] = np.nan
            latest = held.get(f"last:{use.key}") if scope == "continuous" else None
            out, previous, last = _lagged(out, own.offsets, use.lag, latest)
            if scope == "continuous":
                kept[f"last:{use.key}"] = last
            if indicator.of_session:
                previous = _of_first_rows(out, own.offsets, previous)
            off_tick[use.key] = ticks.off(indicator, use)
            for k, column in enumerate(use.columns):
                values[column] = (
                    out[k] if keep is None or len(keep) == len(whole.order) else _widened(out[k], keep, whole)
                )
                before[column] = previous[k]
    chained = any(use.is_chained for use in uses)
    return Computed(values, before, write_state(kept, symbols, state) if chained else None, off_tick)


def on_base(computed: Computed, uses: Sequence[Use], series: Mapping[str, Series], base: str) -> dict[str, Float64]:
    """Every column on the rows of `base`, in the tables' order; wider intervals as of each row's known_at."""
    target, out = series[base], {}
    places: dict[tuple[str, bool], Int64] = {}
    for use in uses:
        of = use.interval, use.partial
        if use.interval != base and of not in places:
            places[of] = as_of(series[use.interval], target, partial=use.partial)
        for column in use.columns:
            values = computed.values[column]
            if use.interval != base:
                values = taken(values, places[of], computed.before[column], target)
            out[column] = label_major(target, values)
    return out


def _grouped(uses: Sequence[Use]) -> dict[tuple[str, str, bool], list[Use]]:
    groups: dict[tuple[str, str, bool], list[Use]] = {}
    for use in uses:
        groups.setdefault((use.interval, use.scope, use.partial), []).append(use)
    return groups


def _rows(indicator: Indicator, use: Use) -> int:
    return max(indicator.rows(use.values), use.lookback, 1)


def _stream(own: Series, carried: Lists | None, *, carries: bool) -> _Stream:
    symbols = len(own.symbols)
    width = len(_CARRIED)
    run = np.zeros(symbols)
    if carried is None or not carried.offsets[-1]:
        counts, tails = np.zeros(symbols, dtype=np.int64), None
    else:
        # A list is the run of unbroken bars, then bar after bar.
        full = np.flatnonzero(np.diff(carried.offsets))
        run[full] = carried.values[carried.offsets[full]]
        counts = np.maximum(np.diff(carried.offsets) - 1, 0) // width
        starts = carried.offsets[:-1] + 1
        tails = carried.values[spread(starts, counts * width)].reshape(-1, width)
    todays = np.diff(own.offsets)
    first = np.concatenate([[0], np.cumsum(counts + todays)]).astype(np.int64)
    spans = Spans(frozen(first[:-1]), frozen(first[:-1] + counts), frozen(first[1:]))
    bars, elapsed, rows = own.bars, own.elapsed, np.arange(int(own.offsets[-1]))
    if tails is not None:
        places, rows = spread(first[:-1], counts), spread(first[:-1] + counts, todays)
        mixed = np.empty((width, int(first[-1])))
        mixed[:, places], mixed[:, rows] = tails.T, np.stack(own.bars)
        bars, elapsed = Bars(*mixed), np.zeros(int(first[-1]), dtype=np.int64)
        elapsed[rows] = own.elapsed
    lengths, since = integers(len(rows)), integers(len(rows))
    # An opening gap is no part of a window of a series that begins with the session.
    missing = own.missing if carries else _from_first(own)
    unbroken(spans, frozen(missing), frozen(own.hollow), frozen(own.missing_after), run, lengths, since)
    since[_opened_late(own)] = 0
    return _Stream(own, spans, Bars(*map(frozen, bars)), frozen(elapsed), rows, lengths, since, run)


def _from_first(own: Series) -> Int64:
    missing = own.missing.copy()
    starts = own.offsets[:-1][np.diff(own.offsets) > 0]
    missing[starts] = 0
    return missing


def _opened_late(own: Series) -> Bool:
    """The rows of symbols whose first bar was not the session's first."""
    filled = np.diff(own.offsets) > 0
    late = np.zeros(len(own.symbols), dtype=np.bool_)
    late[filled] = own.missing[own.offsets[:-1][filled]] > 0
    is_late: Bool = np.repeat(late, np.diff(own.offsets))
    return is_late


def _tail(stream: _Stream, rows: int) -> Lists:
    """The latest `rows` bars of each symbol, behind its run of unbroken bars."""
    spans, width = stream.spans, len(_CARRIED)
    counts = np.minimum(spans.end - spans.first, rows)
    latest = spread(spans.end - counts, counts)
    bars = np.stack([column[latest] for column in stream.bars], axis=1)
    lengths = np.where(counts > 0, 1 + counts * width, 0)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    values = np.empty(int(offsets[-1]))
    full = np.flatnonzero(counts)
    values[offsets[full]] = stream.run_after[full]
    values[spread(offsets[:-1] + 1, counts * width)] = bars.ravel()
    return Lists(offsets, values)


class _TickColumns:
    """A stream's columns as whole ticks, each made when first asked for."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self._made: dict[tuple[str, int], tuple[Int64, int, float]] = {}

    def column(self, name: str, decimals: int) -> tuple[Int64, int, float]:
        """The ticks, how many of the session's values were rounded to one, and the largest absolute tick."""
        if (name, decimals) not in self._made:
            self._made[name, decimals] = self._ticks(name, decimals)
        return self._made[name, decimals]

    def off(self, indicator: Indicator, use: Use) -> int:
        """Values the use reads as ticks that are no multiple of one; expressions and TA-Lib read numbers."""
        custom: Any = indicator.custom
        if custom is not None and custom.kernel is None:
            return 0
        names = {part for name in indicator.ticks for part in _parts(use.input if name == "x" else name)}
        return sum(self.column(name, use.decimals)[1] for name in names)

    def _ticks(self, name: str, decimals: int) -> tuple[Int64, int, float]:
        if name in SUMS:
            whole = [self.column(part, decimals) for part in SUMS[name][0]]
            ticks: Int64 = np.stack([each[0] for each in whole]).sum(axis=0)
            return frozen(ticks), 0, sum(each[2] for each in whole)
        values: Float64 = getattr(self._stream.bars, name)
        scale, found, out = 10.0**decimals, np.zeros(2), integers(len(values))
        whole_ticks(values, scale, out, found)
        off, most = int(found[0]), float(found[1])
        if off and len(self._stream.rows) < len(values):
            # Rows carried were counted in their own session.
            own = self._stream.rows
            off = int(np.count_nonzero(out[own] / scale != values[own]))
        if most >= MOST:
            raise InputError(
                f"{self._stream.series.interval} {name} of {most / scale:g} is too large for ticks of 1e-{decimals}; "
                f"declare fewer decimals for the indicators that read it"
            )
        return frozen(out), off, most


def _parts(name: str) -> tuple[str, ...]:
    return SUMS[name][0] if name in SUMS else (name,)


def _computed(
    use: Use,
    indicator: Indicator,
    stream: _Stream,
    ticks: _TickColumns,
    held: State,
    kept: State,
    bars_a_year: float,
) -> Float64:
    """[outputs, session rows]; a continuous use's state goes on in `kept`."""
    custom: Any = indicator.custom
    if custom is not None and custom.kernel is None:
        from backtester.features.foreign import run_custom

        return run_custom(custom, use, stream.spans, stream.bars, stream.rows, len(indicator.outputs))
    most = int((stream.spans.end - stream.spans.first).max(initial=0)) + indicator.warmup(use.values) + 4
    a, b, c, d, rest = np.empty((5, most))
    scratch = Scratch(a, b, c, d, rest, *np.empty((2, most), dtype=np.int64))
    out = floats(len(indicator.outputs), len(stream.bars.open))
    key = f"state:{use.key}"
    lists = held.get(key, empty_lists(len(stream.series.symbols))) if use.is_chained else None
    size = max(indicator.state, 1)
    numbers = square(lists, size) if lists is not None else np.zeros((len(stream.series.symbols), size))
    function = _function(indicator.kernel) if custom is None else custom.kernel
    # What obv carries: its total in units of 2^32.
    carried = float(np.abs(numbers[:, 0]).max(initial=0.0)) * 2.0**32 if indicator.sums == "total" else 0.0
    columns = _columns(use, indicator, stream, ticks, carried)
    function(stream.spans, columns, _params(use, indicator, bars_a_year), numbers, scratch, out)
    if use.is_chained and indicator.state:
        kept[key] = rows_of(numbers, np.flatnonzero(stream.spans.end > stream.spans.first))
    return out if out.shape[1] == len(stream.rows) else out[:, stream.rows]


def _foreign(name: str) -> Indicator:
    # Imported late: it brings in Polars, which the catalog's indicators have no use for.
    from backtester.features.foreign import find

    return find(name)


def _function(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(f"backtester.kernels.{module}"), name)


def _params(use: Use, indicator: Indicator, bars_a_year: float) -> Float64:
    """Scales of x, prices and volumes, the bars of a year, then the parameters; a choice is its number."""
    scale = 10.0**use.decimals
    head = [scale * SUMS[use.input][1] if use.input in SUMS else scale, scale, scale, bars_a_year]
    own = []
    for parameter in indicator.parameters:
        value = use.values[parameter.name]
        own.append(float(parameter.choices.index(str(value)) if parameter.choices else value))
    return frozen(np.array([*head, *own]))


def _columns(use: Use, indicator: Indicator, stream: _Stream, ticks: _TickColumns, carried: float) -> Columns:
    """The columns the indicator reads; the others are empty, so that reading one is an error and not a wrong value."""
    nothing, none = frozen(np.empty(0)), frozen(np.empty(0, dtype=np.int64))
    bars = Bars(*(getattr(stream.bars, name) if name in indicator.floats else nothing for name in Bars._fields))
    whole = {}
    for name in indicator.ticks:
        column, _, most = ticks.column(use.input if name == "x" else name, use.decimals)
        _require_room(use, indicator, column, most, carried)
        whole[name] = column
    elapsed = stream.elapsed if "elapsed" in indicator.floats else none
    return Columns(bars, Ticks(*(whole.get(name, none) for name in Ticks._fields)), elapsed)


def _require_room(use: Use, indicator: Indicator, column: Int64, most: float, carried: float) -> None:
    """InputError where a sum could leave int64, which would wrap without a word."""
    periods = [float(value) for value in use.values.values() if isinstance(value, int)]
    longest = max([*periods, float(len(column)) if use.name == "twap" else 1.0])
    factor = {"linear": 2.0 * longest, "quadratic": 6.0 * longest * longest}.get(indicator.sums, 4.0)
    wide = len(column) and indicator.sums == "distances" and int(column.max()) - int(column.min()) >= MOST_DISTANCE
    total = carried + float(np.abs(column).sum(dtype=np.float64)) if indicator.sums == "total" else 0.0
    if most * factor >= MOST or wide or total >= MOST:
        over = "all its bars" if total >= MOST else f"{longest:g} bars"
        raise InputError(
            f"{use.key}: {max(most, total) / 10.0**use.decimals:g} over {over} is too much for ticks of "
            f"1e-{use.decimals}; declare fewer decimals for it"
        )


def _is_whole(use: Use, indicator: Indicator, stream: _Stream) -> Bool:
    window = indicator.window(use.values) if indicator.window is not None else indicator.warmup(use.values)
    if indicator.custom is not None:
        window = max(window or 1, use.lookback + 1)
    return stream.since == 1 if window is None else stream.run >= window


def _lagged(out: Float64, offsets: Int64, lag: int, latest: Lists | None) -> tuple[Float64, list[Float64], Lists]:
    """Values `lag` rows earlier, those before the session's first bar, and the lag + 1 latest ones of each symbol."""
    symbols, outputs = len(offsets) - 1, len(out)
    held = np.full((symbols, outputs, lag + 1), np.nan)
    if latest is not None:
        known = np.flatnonzero(np.diff(latest.offsets))
        held[known] = latest.values.reshape(-1, outputs, lag + 1)
    counts = np.diff(offsets)
    before = [held[:, k, 0] for k in range(outputs)]
    if lag == 0:
        newest, full = held[:, :, 0].copy(), counts > 0
        newest[full] = out[:, offsets[1:][full] - 1].T
        return out, before, rows_of(newest, np.arange(symbols))
    starts = np.concatenate([[0], np.cumsum(counts + lag + 1)]).astype(np.int64)
    rows = spread(starts[:-1] + lag + 1, counts)
    mixed = np.empty((outputs, int(starts[-1])))
    mixed[:, spread(starts[:-1], np.full(symbols, lag + 1))] = held.transpose(1, 0, 2).reshape(outputs, -1)
    mixed[:, rows] = out
    ends = spread(starts[1:] - lag - 1, np.full(symbols, lag + 1))
    last = mixed[:, ends].reshape(outputs, symbols, lag + 1).transpose(1, 0, 2).reshape(symbols, -1)
    return mixed[:, rows - lag], before, rows_of(last, np.arange(symbols))


def _of_first_rows(out: Float64, offsets: Int64, otherwise: list[Float64]) -> list[Float64]:
    """By output and symbol, the value of the session's first row."""
    full = np.flatnonzero(np.diff(offsets))
    for output, values in zip(out, otherwise, strict=True):
        values[full] = output[offsets[full]]
    return otherwise


def _widened(values: Float64, keep: Int64, whole: Series) -> Float64:
    out = np.full(len(whole.timestamps), np.nan)
    out[keep] = values
    return out
