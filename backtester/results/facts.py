"""What metrics are computed from: a run's tables as arrays, and the terms they do not hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from backtester.arrays import Bool, Float64, Int64
from backtester.data.columns import values_of, view_of
from backtester.errors import ConfigError, UsageError
from backtester.results.returns import Drawdown, UndefinedError, deepest, returns_of
from backtester.results.trade_stats import Fills, Stay, Trades, touched

FAR_FUTURE = np.iinfo(np.int64).max
DAY_US = 86_400_000_000

# The columns read of each table; more do no harm.
COLUMNS = {
    "equity": ("known_at", "equity", "gross_exposure", "open_positions"),
    "session_equity": ("session", "equity", "fees", "turnover"),
    "fills": (
        *("symbol", "filled_at", "side", "quantity", "price", "worst_price", "best_price", "ambiguous"),
        *("gap_adjacent", "is_stale", "is_defective"),
    ),
    "trades": ("trade_id", "symbol", "entered_at", "exited_at", "pnl", "return_frac", "bars_held", "is_open"),
}
FLAGS = {"gap_adjacent": "gap_adjacent", "stale": "is_stale", "defective": "is_defective", "ambiguous": "ambiguous"}


@dataclass(frozen=True)
class Terms:
    """What the tables do not hold. ConfigError names every term that cannot be."""

    capital: float  # the starting capital, in quote currency
    sessions_per_year: float  # of the run's calendar: about 252 for XNYS, 365 for 24/7
    risk_free_frac: float = 0.0  # a year's risk-free return
    interval_us: int | None = None  # of the source bars; only vectorbt's metrics need it
    elapsed_days: float | None = None  # midnight of the first session to the last close; only LEAN's metrics need it

    def __post_init__(self) -> None:
        wrong = []
        for name in ("capital", "sessions_per_year", "interval_us", "elapsed_days"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                wrong.append(f"{name} is {value!r}; expected a number above zero")
        if not (math.isfinite(self.risk_free_frac) and self.risk_free_frac > -1.0):
            wrong.append(f"risk_free_frac is {self.risk_free_frac!r}; expected a fraction above -1, such as 0.02")
        if wrong:
            raise ConfigError("metrics: " + "; ".join(wrong))

    @property
    def rate(self) -> float:
        """The risk-free return of one session: (1 + risk_free_frac)^(1 / sessions_per_year) - 1."""
        return float((1.0 + self.risk_free_frac) ** (1.0 / self.sessions_per_year) - 1.0)


class Moment(NamedTuple):
    """An instant as a metric's answer: microseconds since 1970 UTC; a session is its date at 00:00."""

    us: int


@dataclass(frozen=True)
class Facts:
    """A run's tables as arrays; what a metric's formula reads."""

    terms: Terms
    tables: Mapping[str, pa.Table]
    benchmark: Float64 | None  # one return per session, NaN where it has none

    def __post_init__(self) -> None:
        wrong = [f"table {name} is missing" for name in COLUMNS if name not in self.tables]
        for name, columns in COLUMNS.items():
            if name in self.tables:
                absent = [column for column in columns if column not in self.tables[name].column_names]
                wrong += [f"table {name} lacks {', '.join(absent)}"] if absent else []
        if wrong:
            raise UsageError("metrics: " + "; ".join(wrong))
        for table, column in (("equity", "known_at"), ("session_equity", "session")):
            falls = np.flatnonzero(np.diff(self.instants(table, column)) <= 0)
            if falls.size:
                raise UsageError(f"metrics: {table}.{column} does not rise at row {falls[0] + 1}; sort it by {column}")

    def floats(self, table: str, column: str) -> Float64:
        """A column as float64, null as NaN."""
        return self._values(table, column).astype(np.float64)

    def flags(self, table: str, column: str) -> Bool:
        """A column as bool, null as false."""
        return self._values(table, column).astype(np.bool_)

    def instants(self, table: str, column: str) -> Int64:
        """A column of instants or dates as microseconds, null as the far future."""
        values = self._values(table, column)
        scale = DAY_US if pa.types.is_date32(self.tables[table].schema.field(column).type) else 1
        if values.dtype.kind != "f":
            return values.astype(np.int64) * scale
        unknown = np.isnan(values)
        return np.where(unknown, FAR_FUTURE, np.where(unknown, 0.0, values).astype(np.int64) * scale)

    def _values(self, table: str, column: str) -> npt.NDArray[Any]:
        chunks = [values_of(chunk) for chunk in self.tables[table][column].chunks]
        return np.concatenate(chunks) if chunks else np.empty(0)

    @cached_property
    def session_equity(self) -> Float64:
        """Equity at each session's end."""
        return self.floats("session_equity", "equity")

    @cached_property
    def bar_equity(self) -> Float64:
        """Equity at each tick of the run's clock."""
        return self.floats("equity", "equity")

    @property
    def returns(self) -> Float64:
        """Session returns, the first from the starting capital."""
        return returns_of(self.session_equity, self.terms.capital)

    @property
    def bar_returns(self) -> Float64:
        """Returns from one tick of the run's clock to the next, the first from the starting capital."""
        return returns_of(self.bar_equity, self.terms.capital)

    @cached_property
    def session_fall(self) -> Drawdown:
        """The deepest drawdown at session ends."""
        return deepest(self.session_equity, self.terms.capital)

    @cached_property
    def bar_fall(self) -> Drawdown:
        """The deepest drawdown bar by bar."""
        return deepest(self.bar_equity, self.terms.capital)

    @property
    def market(self) -> Float64:
        """The benchmark's session returns."""
        if self.benchmark is None:
            raise UndefinedError("no benchmark was given")
        return self.benchmark

    @cached_property
    def closed(self) -> Trades:
        """Trades that ended, in the order they ended, then by id."""
        ended = np.flatnonzero(~self._open)
        ids = self._values("trades", "trade_id")[ended]
        order = np.lexsort((ids, self.instants("trades", "exited_at")[ended]))
        columns = (self.floats("trades", name)[ended][order] for name in ("pnl", "return_frac", "bars_held"))
        found = Trades(*columns)
        _refuse_unknown(found.pnl, ids[order])
        return found

    @property
    def open_trades(self) -> int:
        """How many trades are still open."""
        return int(self._open.sum())

    @property
    def closed_trades(self) -> int:
        """How many trades ended."""
        return self._open.size - self.open_trades

    @cached_property
    def fills(self) -> Fills:
        """Fills as columns; a missing worst or best price is the price itself."""
        price = self.floats("fills", "price")
        bounds = [self.floats("fills", name) for name in ("worst_price", "best_price")]
        worst, best = (np.where(np.isnan(bound), price, bound) for bound in bounds)
        side, quantity = self.floats("fills", "side"), self.floats("fills", "quantity")
        return Fills(side, quantity, price, worst, best, self.flags("fills", "ambiguous"))

    @cached_property
    def trade_pnl(self) -> Float64:
        """The P&L of every trade, open ones at mark."""
        pnl = self.floats("trades", "pnl")
        _refuse_unknown(pnl, self._values("trades", "trade_id"))
        return pnl

    def flagged(self, *flags: str) -> Bool:
        """Per trade, open ones included: was one of its fills flagged with one of `flags`?"""
        chosen = np.zeros(self.tables["fills"].num_rows, dtype=np.bool_)
        for flag in flags:
            chosen |= self.flags("fills", FLAGS[flag])
        trades, fills = self._stays
        return touched(trades, Stay(*(column[chosen] for column in fills)))

    @cached_property
    def _open(self) -> Bool:
        return self.flags("trades", "is_open")

    @cached_property
    def _stays(self) -> tuple[Stay, Stay]:
        names = [self.tables[table]["symbol"].cast(pa.string()) for table in ("trades", "fills")]
        both = pa.chunked_array([*names[0].chunks, *names[1].chunks], pa.string()).combine_chunks()
        codes: Int64 = view_of(both.dictionary_encode().indices).astype(np.int64)
        cut = self.tables["trades"].num_rows
        until = np.where(self._open, FAR_FUTURE, self.instants("trades", "exited_at"))
        at = self.instants("fills", "filled_at")
        return Stay(codes[:cut], self.instants("trades", "entered_at"), until), Stay(codes[cut:], at, at)


def _refuse_unknown(pnl: Float64, trade_ids: Int64) -> None:
    """UndefinedError, naming the first trade, unless every trade's P&L is a number."""
    unknown = np.flatnonzero(~np.isfinite(pnl))
    if unknown.size:
        raise UndefinedError(f"pnl is not a number in trade {trade_ids[int(unknown[0])]}")


@dataclass(frozen=True)
class Metric:
    """A published number: its id, its unit, its formula in words, where the formula comes from, and how to compute it.

    id  `sharpe`, or `sharpe@lean` for another library's definition of it
    """

    id: str
    unit: str
    formula: str
    compute: Callable[[Facts], float | Moment]
    source: str = ""  # empty where this project states the formula itself
