"""NumPy column groups as the kernels see them, and `frozen`, which makes them read-only and contiguous."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]
Int8 = npt.NDArray[np.int8]
UInt8 = npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]
Scalar = TypeVar("Scalar", bound=np.generic)


class Bars(NamedTuple):
    """Source bars, one row each, finite and checked: prices in quote currency, volume in units."""

    open: Float64
    high: Float64
    low: Float64
    close: Float64
    volume: Float64


class Grid(NamedTuple):
    """The labels of a session in time order, expected ones and those that are only there (extended hours)."""

    starts: Int64  # [labels]; the rows of label t are starts[t] to ends[t] - 1
    ends: Int64
    expected: Int32  # [labels]; counts the expected labels from 0, -1 where no bar is expected


class Windows(NamedTuple):
    """Derived windows, intervals from narrow to wide."""

    of_label: Int32  # [intervals, labels]; the window each label falls in, rising
    parent: Int32  # [intervals]; the narrower interval it merges from, -1 for the bars themselves


class Running(NamedTuple):
    """Session-to-date values per row, this bar included; vwap is NaN before the first volume."""

    volume: Float64
    high: Float64
    low: Float64
    vwap: Float64
    bars: Int32


class Totals(NamedTuple):
    """Session-to-date values per symbol: running state while the pass goes, the summary when it ends."""

    open: Float64
    high: Float64
    low: Float64
    close: Float64
    volume: Float64
    traded: Float64  # sum of typical price x volume
    bars: Int32
    first: Int32  # the label of its first bar; meaningless while bars is 0
    last: Int32  # the label of its latest bar
    gap: Int32  # the symbol's latest gap, -1 before one


class Forming(NamedTuple):
    """Derived bars not yet complete, [intervals, symbols]; bars is 0 where none has begun."""

    open: Float64
    high: Float64
    low: Float64
    close: Float64
    volume: Float64
    bars: Int32


class Derived(NamedTuple):
    """Complete derived bars; interval k fills rows starts[k] to starts[k] + rows[k] - 1."""

    starts: Int64
    rows: Int64
    symbol: Int32
    window: Int32
    open: Float64
    high: Float64
    low: Float64
    close: Float64
    volume: Float64
    bars: Int32


class Gaps(NamedTuple):
    """Runs of missing bars: `length` expected labels from the `first`-th on; rows[0] of them are filled."""

    rows: Int64
    symbol: Int32
    first: Int32
    length: Int32


class Clock(NamedTuple):
    """The labels the ledger visits, in time order, of one session or of many one after the other."""

    timestamp: Int64  # [labels]; microseconds since 1970 UTC
    known_at: Int64  # [labels]; when the label's bars are over
    starts: Int64  # [labels]; the rows of label t are starts[t] to ends[t] - 1
    ends: Int64
    flags: UInt8  # [labels]; FIRST_LABEL, LAST_LABEL, PAST_CUTOFF
    session_starts: Int64  # [sessions + 1]; session k is labels session_starts[k] to session_starts[k + 1] - 1
    days: Float64  # [sessions]; calendar days since the run's session before, 0 at the first
    month: Int32  # [sessions]; months since 1970, for commission tiers


class Market(NamedTuple):
    """Bars as the ledger meets them, sorted by (label, symbol), finite and checked."""

    open: Float64
    high: Float64
    low: Float64
    close: Float64
    volume: Float64
    symbol: Int32  # code of the symbol, rising within a label
    flags: UInt8  # [rows], or one value for all: GAP_BEFORE, GAP_AFTER, DEFECTIVE, NO_ENTRY, UNSELECTED


class Requests(NamedTuple):
    """What a strategy asks for, sorted by (label, rank descending, symbol), then as given.

    label and symbol have one value a request; any other column may have one value that stands for all.
    """

    label: Int32  # the label at whose end it was decided, counted in the clock given
    symbol: Int32
    kind: Int8  # kernels.codes.KINDS
    unit: Int8  # UNITS, or CONFIGURED: the configured size
    amount: Float64
    side: Int8  # +1, -1; a target or an order may be signed by its amount instead: then 0
    order_type: Int8  # ORDER_TYPES
    tif: Int8  # TIFS
    limit: Float64  # prices; NaN: none
    stop: Float64
    trail: Float64
    stop_loss: Float64  # legs of an entry; NaN: none
    take_profit: Float64
    leg_trail: Float64
    fractions: UInt8  # bits: which of the four above are fractions and not prices
    exit_after_bars: Int32  # 0: none
    until: Int64  # gtd: microseconds since 1970 UTC
    group: Int32  # OCO group, the same number for all its orders; -1: none
    rank: Float64


class Spans(NamedTuple):
    """Each symbol's rows of a series: those carried from before are first to begin - 1, this session's the rest."""

    first: Int64  # [symbols]
    begin: Int64
    end: Int64


class Ticks(NamedTuple):
    """A series' columns as whole ticks, value x 10^decimals; empty where an indicator does not ask for one."""

    open: Int64
    high: Int64
    low: Int64
    close: Int64
    volume: Int64
    x: Int64  # the chosen input


class Columns(NamedTuple):
    """A series, symbol after symbol, each in time order."""

    bars: Bars
    ticks: Ticks
    elapsed: Int64  # microseconds from the session's open until the bar is known


class Scratch(NamedTuple):
    """Room for one symbol's rows at a time; what it holds between calls means nothing."""

    a: Float64
    b: Float64
    c: Float64
    d: Float64
    rest: Float64
    m: Int64
    n: Int64


# The type of each column of Requests.
REQUEST_KINDS: dict[str, Any] = {
    "label": np.int32,
    "symbol": np.int32,
    "kind": np.int8,
    "unit": np.int8,
    "amount": np.float64,
    "side": np.int8,
    "order_type": np.int8,
    "tif": np.int8,
    "limit": np.float64,
    "stop": np.float64,
    "trail": np.float64,
    "stop_loss": np.float64,
    "take_profit": np.float64,
    "leg_trail": np.float64,
    "fractions": np.uint8,
    "exit_after_bars": np.int32,
    "until": np.int64,
    "group": np.int32,
    "rank": np.float64,
}


def frozen(values: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """The same values, contiguous and read-only, so that a kernel meets one array type and compiles once."""
    view = np.ascontiguousarray(values).view()
    view.flags.writeable = False
    return view
