"""Vectorized strategies: a session's rows as Polars frames in, dense columns of wishes out, sparse requests from them.

A wish of a row is decided when the row's bar is known, and asked then: nothing in a frame can ask earlier.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import polars as pl
import pyarrow as pa

from backtester.arrays import Bool, Float64, Int8, Int32, Int64, Requests, UInt8, frozen
from backtester.config.strict import nearest
from backtester.data.columns import dictionary, instants, numbers
from backtester.errors import StrategyError
from backtester.features.rows import Rows
from backtester.kernels import codes as code
from backtester.strategy.loading import Loaded, where_raised

NAN = float("nan")


class ColumnStrategy(Protocol):
    """What the user writes."""

    def signals(self, bars: pl.DataFrame, indicators: pl.DataFrame) -> Any:
        """Wishes of a session: a frame as high as `bars`, its columns among WISHES (docs/strategies.md)."""


# The columns a signals frame may have. Targets and entry sizes by their unit; a fraction stands for a price.
TARGETS = {"target_units": code.UNIT, "target_notional": code.NOTIONAL, "target_weight": code.EQUITY_FRAC}
SIZES = {"units": code.UNIT, "notional": code.NOTIONAL, "equity_frac": code.EQUITY_FRAC, "cash_frac": code.CASH_FRAC}
# A target weight that gives the position this volatility, a fraction a year: target_volatility / volatility.
RISK = ("target_volatility", "volatility")
LEGS = {"stop_loss": code.STOP_LOSS_FRAC, "take_profit": code.TAKE_PROFIT_FRAC, "trail": code.LEG_TRAIL_FRAC}
WISHES = (
    *("enter", "exit", "cancel", *TARGETS, *RISK, *SIZES, "limit", "stop", "tif"),
    *(name for leg in LEGS for name in (leg, f"{leg}_frac")),
    *("exit_after", "rank"),
)
KEYS = ("timestamp", "symbol")


def bars_frame(rows: Rows) -> pl.DataFrame:
    """The session's rows: bars, when they are known, running values and quality so far; numbers are not copied.

    Null where there is no value yet. session_open and session_close are the calendar's, the same in every row.
    """
    running, height = rows.running, len(rows.label)
    columns: dict[str, pa.Array] = {
        "timestamp": instants(rows.timestamps),
        "symbol": dictionary(rows.codes, rows.symbols),
        **{name: numbers(column) for name, column in rows.bars._asdict().items()},
        "known_at": instants(rows.known_at),
        "running_volume": numbers(running.volume),
        "running_high": numbers(running.high),
        "running_low": numbers(running.low),
        "running_vwap": numbers(running.vwap, null=np.isnan(running.vwap)),
        "running_bars": numbers(running.bars),
        "quality_pct": numbers(rows.quality_pct),
        "missing_before": numbers(rows.missing_before),
        "session_open": instants(np.full(height, rows.session.open_at)),
        "session_close": instants(np.full(height, rows.session.close_at)),
    }
    return _frame_of(columns)


def indicators_frame(values: Mapping[str, Float64], rows: int) -> pl.DataFrame:
    """Indicators by key, one value a row; null where NaN says that there is none yet: NaN would compare as largest."""
    if not values:
        return pl.DataFrame(height=rows)
    return _frame_of({key: numbers(column, null=np.isnan(column)) for key, column in values.items()})


def _frame_of(columns: Mapping[str, pa.Array]) -> pl.DataFrame:
    # A batch is taken over as it is; a table's chunks are joined by Polars' threads, 0.1 ms for a small session.
    return pl.DataFrame(pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns)))


def requests(loaded: Loaded, rows: Rows, indicators: Mapping[str, Float64]) -> Requests:
    """What the strategy asks for in this session; StrategyError if its code fails or its frame cannot be read."""
    bars = bars_frame(rows)
    where = f"strategy {loaded.use}, session {rows.session.date}"
    try:
        answer = loaded.strategy.signals(bars, indicators_frame(indicators, bars.height))
    except (Exception, SystemExit) as error:  # sys.exit() would end the run with the strategy's code, and no word
        raise StrategyError(f"{where}: {where_raised(error)}") from error
    return _Wishes(_frame(answer, bars, where), rows, where).requests()


def _frame(given: Any, bars: pl.DataFrame, where: str) -> pl.DataFrame:
    """The strategy's answer as a frame of known columns, one row a bar."""
    if isinstance(given, pl.LazyFrame):
        given = given.collect()
    if not isinstance(given, pl.DataFrame) and not hasattr(given, "__arrow_c_stream__"):
        raise StrategyError(f"{where}: signals gave {type(given).__name__}; expected a frame of columns")
    answer = given if isinstance(given, pl.DataFrame) else pl.DataFrame(given)
    known = {*WISHES, *bars.columns}
    for name in answer.columns:
        if name not in known:
            raise StrategyError(f"{where}: signals has an unknown column {name}; {nearest(name, WISHES)}")
    if answer.height != bars.height:
        hint = "; a select of literals alone has one row: use bars.with_columns" if answer.height == 1 else ""
        raise StrategyError(
            f"{where}: signals has {answer.height} rows for {bars.height} bars; expected one a bar, "
            f"in the same order{hint}"
        )
    for name in KEYS:
        if name in answer.columns and not answer[name].equals(bars[name]):
            raise StrategyError(f"{where}: signals is sorted otherwise than bars (column {name}); keep their order")
    wishes = [name for name in answer.columns if name in WISHES]
    return answer if len(wishes) == answer.width else answer.select(wishes)


class _Part(NamedTuple):
    """Requests of one kind: the rows that make them, and what they ask."""

    kind: int
    rows: Int64
    unit: Int8 | int
    amount: Float64 | float
    side: Int8 | int


class _Wishes:
    """One session's signals frame, column by column."""

    def __init__(self, frame: pl.DataFrame, rows: Rows, where: str) -> None:
        self.frame = frame
        self.rows = rows
        self.where = where

    def requests(self) -> Requests:
        """All kinds, sorted by (label, rank descending, symbol), and within a symbol: cancel, exit, target, enter."""
        parts = [self._plain("cancel", code.CANCEL), self._plain("exit", code.EXIT), self._targets(), self._entries()]
        self._refuse_both(parts[2].rows, parts[3].rows)
        at = np.concatenate([part.rows for part in parts])
        rank = self._rank()
        kinds = np.concatenate([np.full(len(part.rows), part.kind, dtype=np.int8) for part in parts])
        order = np.lexsort((self.rows.codes[at], -rank[at], self.rows.label[at]))
        # Only entries carry prices and legs.
        entry = np.where(kinds == code.ENTER, at, -1)[order]
        at = at[order]
        legs, fractions = self._legs(entry)
        limit, stop = self._price("limit", entry), self._price("stop", entry)
        types = np.array([code.MARKET, code.LIMIT, code.STOP, code.STOP_LIMIT], dtype=np.int8)
        return Requests(
            label=frozen(self.rows.label[at]),
            symbol=frozen(self.rows.codes[at]),
            kind=frozen(kinds[order]),
            unit=frozen(_joined([part.unit for part in parts], parts, np.int8)[order]),
            amount=frozen(_joined([part.amount for part in parts], parts, np.float64)[order]),
            side=frozen(_joined([part.side for part in parts], parts, np.int8)[order]),
            order_type=frozen(types[~np.isnan(limit) + 2 * ~np.isnan(stop)]),
            tif=frozen(self._tif(entry)),
            limit=frozen(limit),
            stop=frozen(stop),
            trail=frozen(np.full(1, NAN)),
            stop_loss=frozen(legs["stop_loss"]),
            take_profit=frozen(legs["take_profit"]),
            leg_trail=frozen(legs["trail"]),
            fractions=frozen(fractions),
            exit_after_bars=frozen(self._exit_after(entry)),
            until=frozen(np.zeros(1, dtype=np.int64)),
            group=frozen(np.full(1, -1, dtype=np.int32)),
            rank=frozen(rank[at]),
        )

    def _plain(self, name: str, kind: int) -> _Part:
        return _Part(kind, np.flatnonzero(self._flags(name)), code.CONFIGURED, NAN, 0)

    def _targets(self) -> _Part:
        rows, unit, amount = self._amounts(TARGETS)
        sized, weight = self._weights()
        self._refuse(np.intersect1d(rows, sized), f"more than one of {', '.join((*TARGETS, RISK[0]))} has a value")
        return _Part(
            code.TARGET,
            np.concatenate([rows, sized]),
            np.concatenate([unit, np.full(len(sized), code.EQUITY_FRAC, dtype=np.int8)]),
            np.concatenate([amount, weight]),
            0,
        )

    def _weights(self) -> tuple[Int64, Float64]:
        """The rows with a target of volatility and the weight that gives it; no row whose volatility is not known."""
        target, volatility = RISK
        if target not in self.frame.columns:
            return np.empty(0, dtype=np.int64), np.empty(0)
        if volatility not in self.frame.columns:
            raise StrategyError(
                f"{self.where}: {target} needs a column {volatility}, the symbol's own, a fraction a year"
            )
        wanted, own = self._floats(target), self._floats(volatility)
        rows = np.flatnonzero(~np.isnan(wanted) & ~np.isnan(own))
        self._refuse(rows[own[rows] <= 0.0], f"{volatility} is not above 0; give null where there is none")
        return rows, wanted[rows] / own[rows]

    def _entries(self) -> _Part:
        side = self._side()
        rows = np.flatnonzero(side)
        sized, unit, amount = self._amounts(SIZES)
        units, amounts = np.full(len(side), code.CONFIGURED, dtype=np.int8), np.full(len(side), NAN)
        units[sized], amounts[sized] = unit, amount
        self._refuse(rows[amounts[rows] <= 0.0], "an entry's size is not above 0; say short by enter = -1")
        return _Part(code.ENTER, rows, units[rows], amounts[rows], side[rows])

    def _amounts(self, names: Mapping[str, int]) -> tuple[Int64, Int8, Float64]:
        """Of columns that stand for one another: the rows with a value, its unit and the value."""
        columns = {unit: self._floats(name) for name, unit in names.items() if name in self.frame.columns}
        if not columns:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int8), np.empty(0)
        given = np.array([~np.isnan(values) for values in columns.values()])
        rows = np.flatnonzero(given.any(axis=0))
        self._refuse(rows[given[:, rows].sum(axis=0) > 1], f"more than one of {', '.join(names)} has a value")
        place = given[:, rows].argmax(axis=0)
        amounts = np.array(list(columns.values()))[place, rows]
        return rows, np.array(list(columns), dtype=np.int8)[place], amounts

    def _legs(self, entry: Int64) -> tuple[dict[str, Float64], UInt8]:
        legs, fractions = {}, np.zeros(len(entry), dtype=np.uint8)
        for name, bit in LEGS.items():
            price, share = self._price(name, entry), self._price(f"{name}_frac", entry)
            for column, values in ((name, price), (f"{name}_frac", share)):
                self._refuse(entry[values <= 0.0], f"{column} is not above 0, on either side; give null for none")
            both = ~np.isnan(price) & ~np.isnan(share)
            self._refuse(entry[both], f"both {name} and {name}_frac have a value")
            fractions[~np.isnan(share)] |= bit
            legs[name] = np.where(np.isnan(share), price, share)
        return legs, fractions

    def _price(self, name: str, entry: Int64) -> Float64:
        """A column's values for the requests that are entries, NaN for others and where it is null."""
        if name not in self.frame.columns or not len(entry):
            return np.full(len(entry), NAN)
        return np.where(entry >= 0, self._floats(name)[entry], NAN)

    def _exit_after(self, entry: Int64) -> Int32:
        bars = self._price("exit_after", entry)
        is_count = (bars >= 1) & (bars <= np.iinfo(np.int32).max) & (bars == np.floor(bars))
        self._refuse(entry[~is_count & ~np.isnan(bars)], "exit_after is no count of bars; give null for none")
        return np.where(np.isnan(bars), 0, bars).astype(np.int32)

    def _tif(self, entry: Int64) -> Int8:
        if "tif" not in self.frame.columns or not len(entry):
            return np.full(1, code.GTC, dtype=np.int8)
        words = self.frame["tif"].cast(pl.String)
        unknown = set(words.drop_nulls().unique()) - {"gtc", "day", "ioc", "fok"}
        if unknown:
            raise StrategyError(f"{self.where}: tif is {sorted(unknown)[0]!r}; expected gtc, day, ioc or fok")
        place = {word: number for number, word in enumerate(code.TIFS)}
        all_rows = words.replace_strict(place, default=code.GTC, return_dtype=pl.Int8).to_numpy()
        return np.where(entry >= 0, all_rows[entry], code.GTC).astype(np.int8)

    def _rank(self) -> Float64:
        if "rank" not in self.frame.columns:
            return np.zeros(self.frame.height)
        return np.nan_to_num(self._floats("rank"), nan=0.0)

    def _side(self) -> Int8:
        """+1, -1 or 0 a row."""
        if "enter" not in self.frame.columns:
            return np.zeros(self.frame.height, dtype=np.int8)
        column = self.frame["enter"]
        if column.dtype == pl.Boolean:
            return self._flags("enter").astype(np.int8)
        if not (column.dtype.is_integer() or column.dtype == pl.Null):
            raise StrategyError(f"{self.where}: enter is {column.dtype}; expected true for long, or 1, -1 and 0")
        side = (column.fill_null(0) if column.null_count() else column).to_numpy()
        # Not by abs(): that of the smallest integer is itself.
        self._refuse(np.flatnonzero((side < -1) | (side > 1)), "enter is a side; expected 1, -1 or 0")
        return side.astype(np.int8)

    def _flags(self, name: str) -> Bool:
        """A column of claims, null as false."""
        if name not in self.frame.columns:
            return np.zeros(self.frame.height, dtype=np.bool_)
        column = self.frame[name]
        if column.dtype not in (pl.Boolean, pl.Null):
            raise StrategyError(f"{self.where}: {name} is {column.dtype}; expected true or false")
        # Filling is a query of Polars, 0.1 ms whatever its rows; most columns need none.
        filled = column if column.dtype == pl.Boolean and not column.null_count() else column.cast(pl.Boolean)
        flags: Bool = (filled.fill_null(False) if filled.null_count() else filled).to_numpy()
        return flags

    def _floats(self, name: str) -> Float64:
        """A column of numbers, NaN where it is null."""
        column = self.frame[name]
        if not (column.dtype.is_numeric() or column.dtype == pl.Null):
            raise StrategyError(f"{self.where}: {name} is {column.dtype}; expected numbers")
        column = column.cast(pl.Float64)
        values: Float64 = column.to_numpy()  # null as NaN
        wrong = ~np.isfinite(values)
        if column.null_count():
            wrong &= column.is_not_null().to_numpy()
        if wrong.any():
            row = np.flatnonzero(wrong)
            self._refuse(row, f"{name} is {column[int(row[0])]}; expected a number, or null for none")
        return values

    def _refuse_both(self, targets: Int64, entries: Int64) -> None:
        self._refuse(np.intersect1d(targets, entries), "both a target and enter have a value")

    def _refuse(self, rows: Int64, problem: str) -> None:
        if len(rows):
            row = int(rows[0])
            symbol = self.rows.symbols[int(self.rows.codes[row])]
            at = np.datetime64(int(self.rows.timestamps[row]), "us")
            raise StrategyError(f"{self.where}: {at} {symbol}: {problem}")


def _joined(values: list[Any], parts: list[_Part], kind: type[np.generic]) -> Any:
    columns = [
        np.broadcast_to(np.asarray(value, dtype=kind), len(part.rows))
        for value, part in zip(values, parts, strict=True)
    ]
    return np.concatenate(columns)
