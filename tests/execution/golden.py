"""The golden vectors of eight engines on eight one-minute bars: each engine an `[execution]` section, each cell a row.

The bars, decisions and prices are those executed or read in LEAN 2486390, backtrader 1.9.78.123, backtesting.py 0.6.6,
zipline-reloaded 3.2.1, vectorbt 1.2.0, Nautilus 1.221.0, pybroker 2.0.2 and raptorbt 0.13.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

BARS = (
    *((100, 100.5, 99.8, 100.4, 1000), (100.4, 101.2, 100.3, 101, 1200), (101, 101.5, 100.1, 100.3, 900)),
    *((100.2, 100.6, 99.7, 100, 800), (99, 99.6, 98.4, 98.5, 1500), (98, 104, 97, 103, 2000)),
    *((103, 103.8, 102.2, 102.4, 700), (102.5, 102.9, 101.8, 102, 600)),
)
SECTIONS = {
    "lean": {
        "fill_bar": "same",
        "market_price": "close",
        "limit_touch": "through",
        "intrabar": "queue",
        "exits_first": False,
        "arm": "next_bar",
        "volume_frac": 0.0,
        "cash": "at_fill",
        "leverage": 2.0,
        "commission": {"model": "lean_ib"},
    },
    "backtrader": {
        "intrabar": "queue",
        "exits_first": False,
        "arm": "next_bar",
        "volume_frac": 0.0,
        "cash": "at_submit",
    },
    "backtesting": {"exits_first": False, "arm": "entry_bar", "volume_frac": 0.0, "cash": "at_fill"},
    "zipline": {
        "market_price": "close",
        "limit_touch": "close",
        "limit_price": "market",
        "limit_guard": False,
        "limit_slippage": True,
        "stop_touch": "close",
        "stop_price": "market",
        "intrabar": "queue",
        "slippage_bps": 5.0,
        "volume_frac": 0.1,
        "volume_rest": "carry",
        "cash": "none",
        "capital": 10_000_000.0,
        "commission": {"model": "per_unit", "per_unit": 0.001},
    },
    "vectorbt": {
        "fill_bar": "same",
        "market_price": "close",
        "arm": "next_bar",
        "stop_slippage": False,
        "volume_frac": 0.0,
        "lot": 0.0,
        "cash": "reduce",
        "size_unit": "cash_frac",
        "size_amount": 1.0,
    },
    "nautilus": {
        "fill_bar": "same",
        "market_price": "close",
        "limit_price": "limit",
        "stop_price": "stop",
        "intrabar": "ohlc",
        "arm": "next_bar",
        "volume_frac": 0.25,
        "volume_rest": "next_tick",
        "tick": 0.01,
        "cash": "at_fill",
        "leverage": 10.0,
    },
    "pybroker": {
        "market_price": "mid",
        "limit_touch": "fill_price",
        "limit_price": "market",
        "stop_price": "stop",
        "arm": "next_bar",
        "volume_frac": 0.0,
        "cash": "reduce",
    },
    "raptorbt": {
        "fill_bar": "same",
        "market_price": "close",
        "arm": "next_bar",
        "volume_frac": 0.0,
        "lot": 0.0,
        "cash": "reduce",
    },
}


class Cell(NamedTuple):
    """One cell of the table: what is asked, and the fills (label, side, quantity, price, commission or None)."""

    requests: tuple
    fills: tuple
    rules: Mapping = MappingProxyType({})  # what the cell sets beside the engine's section
    held: float | None = None  # the position at the end, where the cell tells it


def order(label, side, amount=10.0, **columns):
    """One order as given."""
    return {"label": label, "kind": "order", "side": side, "unit": "units", "amount": float(amount), **columns}


def bought(label, side=1, amount=10.0, **legs):
    """A market order at a label, with legs."""
    return order(label, side, amount, **legs)


def limit(at):
    """A buy limit decided at label 1."""
    return (order(1, 1, order_type="limit", limit=at),)


STOP_BUY = (order(1, 1, order_type="stop", stop=103.5),)
# A position opened well before bar 5, whose bar holds both 97.5 and 103.5.
BRACKET = (bought(1, stop_loss=97.5, take_profit=103.5),)
# The same two prices on an entry that fills in bar 5 itself.
LATE_BRACKET = (bought(4, stop_loss=97.5, take_profit=103.5),)
TRIP = (bought(1), bought(3, -1))
PERCENT = {"commission": {"model": "percent", "rate": 0.001}}
ENTRY = {"next": (1, 1, 10, 100.4, None), "same": (0, 1, 10, 100.4, None), "mid": (1, 1, 10, 100.75, None)}


def stopped(at, price, label, entry):
    """A long position of label 0 with a stop loss, and where it ends."""
    return Cell((bought(0, stop_loss=at),), (ENTRY[entry], (label, -1, 10, price, None)), held=0)


CELLS = {
    "lean-market_buy": Cell(TRIP[:1], ((1, 1, 10, 101.0, 1.0),)),
    "lean-market_sell": Cell(TRIP[1:], ((3, -1, 10, 100.0, 1.0),)),
    "lean-limit_buy": Cell(limit(98.2), ((5, 1, 10, 98.0, None),)),
    "lean-limit_buy_through_a_gap": Cell(limit(99.5), ((4, 1, 10, 99.0, None),)),
    "lean-stop_buy": Cell(STOP_BUY, ((5, 1, 10, 103.5, None),)),
    "lean-long_stop": stopped(98.8, 98.8, 4, "same"),
    "lean-long_stop_through_a_gap": stopped(99.5, 99.0, 4, "same"),
    # No group ties the two: both fill in one scan, and the account ends short.
    "lean-stop_and_target_in_one_bar": Cell(
        (bought(1), order(1, -1, order_type="stop", stop=97.5), order(1, -1, order_type="limit", limit=103.5)),
        ((1, 1, 10, 101.0, None), (5, -1, 10, 97.5, None), (5, -1, 10, 103.5, None)),
        held=-10,
    ),
    "lean-legs_on_the_entry_bar": Cell(
        (order(4, 1, order_type="limit", limit=99.0, stop_loss=97.5, take_profit=103.5),),
        ((5, 1, 10, 98.0, None), (6, -1, 10, 103.5, None)),
    ),
    "lean-order_on_the_last_bar": Cell((bought(7),), ((7, 1, 10, 102.0, 1.0),)),
    "lean-open_at_the_end": Cell(TRIP[:1], ((1, 1, 10, 101.0, 1.0),), held=10),
    "backtrader-market_buy": Cell(TRIP[:1], ((2, 1, 10, 101.0, 0.0),)),
    "backtrader-market_sell": Cell(TRIP[1:], ((4, -1, 10, 99.0, 0.0),)),
    "backtrader-limit_buy": Cell(limit(98.2), ((5, 1, 10, 98.0, None),)),
    "backtrader-limit_buy_through_a_gap": Cell(limit(99.5), ((4, 1, 10, 99.0, None),)),
    "backtrader-stop_buy": Cell(STOP_BUY, ((5, 1, 10, 103.5, None),)),
    "backtrader-long_stop": stopped(98.8, 98.8, 4, "next"),
    "backtrader-long_stop_through_a_gap": stopped(99.5, 99.0, 4, "next"),
    "backtrader-stop_and_target_in_one_bar": Cell(BRACKET, ((2, 1, 10, 101.0, None), (5, -1, 10, 97.5, None))),
    "backtrader-legs_on_the_entry_bar": Cell(LATE_BRACKET, ((5, 1, 10, 98.0, None), (6, -1, 10, 103.5, None))),
    "backtrader-order_on_the_last_bar": Cell((bought(7),), ()),
    "backtrader-open_at_the_end": Cell(TRIP[:1], ((2, 1, 10, 101.0, 0.0),), held=10),
    "backtrader-round_trip_with_costs": Cell(
        TRIP, ((2, 1, 10, 101.101, 1.01101), (4, -1, 10, 98.901, 0.98901)), {**PERCENT, "slippage_bps": 10.0}
    ),
    "backtesting-market_buy": Cell(TRIP[:1], ((2, 1, 10, 101.0, 0.0),)),
    "backtesting-market_sell": Cell(TRIP[1:], ((4, -1, 10, 99.0, 0.0),)),
    "backtesting-limit_buy": Cell(limit(98.2), ((5, 1, 10, 98.0, None),)),
    "backtesting-limit_buy_through_a_gap": Cell(limit(99.5), ((4, 1, 10, 99.0, None),)),
    "backtesting-stop_buy": Cell(STOP_BUY, ((5, 1, 10, 103.5, None),)),
    "backtesting-long_stop": stopped(98.8, 98.8, 4, "next"),
    "backtesting-long_stop_through_a_gap": stopped(99.5, 99.0, 4, "next"),
    "backtesting-stop_and_target_in_one_bar": Cell(BRACKET, ((2, 1, 10, 101.0, None), (5, -1, 10, 97.5, None))),
    "backtesting-legs_on_the_entry_bar": Cell(LATE_BRACKET, ((5, 1, 10, 98.0, None), (5, -1, 10, 97.5, None))),
    "backtesting-order_on_the_last_bar": Cell(
        (bought(7),), ((7, 1, 10, 102.5, None), (7, -1, 10, 102.5, None)), {"end": "open"}, held=0
    ),
    "backtesting-open_at_the_end": Cell(TRIP[:1], ((2, 1, 10, 101.0, 0.0),), held=10),
    "backtesting-open_at_the_end_finalized": Cell(
        TRIP[:1], ((2, 1, 10, 101.0, 0.0), (7, -1, 10, 102.5, 0.0)), {"end": "open"}, held=0
    ),
    "backtesting-round_trip_with_costs": Cell(
        TRIP,
        ((2, 1, 10, 101.101, 1.01101), (4, -1, 10, 99.0, 0.99)),
        {**PERCENT, "spread_bps": 10.0, "spread_on": "entry"},
    ),
    "zipline-market_buy": Cell(TRIP[:1], ((2, 1, 10, 100.35015, 0.01),)),
    "zipline-market_sell": Cell(TRIP[1:], ((4, -1, 10, 98.45075, 0.01),)),
    "zipline-limit_buy": Cell(limit(98.2), ()),
    "zipline-limit_buy_filled_worse_than_its_limit": Cell(limit(98.51), ((4, 1, 10, 98.54925, None),)),
    "zipline-stop_buy": Cell(STOP_BUY, ()),
    "zipline-volume_cap": Cell(
        (order(1, 1, 200),),
        ((2, 1, 90, 100.35015, None), (3, 1, 80, 100.05, None), (4, 1, 30, 98.54925, None)),
    ),
    "zipline-order_on_the_last_bar": Cell((bought(7),), ()),
    "zipline-open_at_the_end": Cell(TRIP[:1], ((2, 1, 10, 100.35015, 0.01),), held=10),
    "vectorbt-market_buy": Cell(TRIP[:1], ((1, 1, 10, 101.0, 0.0),)),
    "vectorbt-market_sell": Cell(TRIP[1:], ((3, -1, 10, 100.0, 0.0),)),
    "vectorbt-long_stop": stopped(98.8, 98.8, 4, "same"),
    "vectorbt-long_stop_with_slippage": Cell(
        (bought(0, stop_loss=98.8),),
        ((0, 1, 10, 100.5004, None), (4, -1, 10, 98.8, None)),
        {"slippage_bps": 10.0},
    ),
    "vectorbt-long_stop_as_a_market_order": Cell(
        (bought(0, stop_loss=98.8),),
        ((0, 1, 10, 100.5004, None), (4, -1, 10, 98.7012, None)),
        {"slippage_bps": 10.0, "stop_slippage": True},
    ),
    "vectorbt-long_stop_through_a_gap": stopped(99.5, 99.0, 4, "same"),
    "vectorbt-stop_and_target_in_one_bar": Cell(
        (bought(4, stop_loss=(0.01,), take_profit=(0.05,)),), ((4, 1, 10, 98.5, None), (5, -1, 10, 97.515, None))
    ),
    "vectorbt-legs_on_the_entry_bar": Cell(
        (bought(5, stop_loss=97.5, take_profit=103.5),), ((5, 1, 10, 103.0, None), (6, -1, 10, 103.5, None))
    ),
    "vectorbt-order_on_the_last_bar": Cell((bought(7),), ((7, 1, 10, 102.0, 0.0),)),
    "vectorbt-open_at_the_end": Cell(TRIP[:1], ((1, 1, 10, 101.0, 0.0),), held=10),
    "vectorbt-round_trip_with_costs": Cell(
        TRIP, ((1, 1, 10, 101.101, 1.01101), (3, -1, 10, 99.9, 0.999)), {**PERCENT, "slippage_bps": 10.0}
    ),
    "nautilus-market_buy": Cell(TRIP[:1], ((1, 1, 10, 101.0, 0.0),)),
    "nautilus-market_sell": Cell(TRIP[1:], ((3, -1, 10, 100.0, 0.0),)),
    "nautilus-limit_buy": Cell(limit(98.2), ((5, 1, 10, 98.2, None),)),
    "nautilus-limit_buy_through_a_gap": Cell(limit(99.5), ((4, 1, 10, 99.5, None),)),
    "nautilus-stop_buy": Cell(STOP_BUY, ((5, 1, 10, 103.5, None),)),
    "nautilus-long_stop": stopped(98.8, 98.8, 4, "same"),
    "nautilus-long_stop_through_a_gap": stopped(99.5, 99.5, 4, "same"),
    "nautilus-stop_and_target_in_one_bar": Cell(BRACKET, ((1, 1, 10, 101.0, None), (5, -1, 10, 103.5, None))),
    "nautilus-stop_and_target_in_one_bar_adaptive": Cell(
        BRACKET, ((1, 1, 10, 101.0, None), (5, -1, 10, 97.5, None)), {"intrabar": "adaptive"}
    ),
    "nautilus-volume_cap": Cell((order(1, 1, 2000),), ((1, 1, 300, 101.0, None), (1, 1, 1700, 101.01, None))),
    "nautilus-order_on_the_last_bar": Cell((bought(7),), ((7, 1, 10, 102.0, 0.0),)),
    "nautilus-open_at_the_end": Cell(TRIP[:1], ((1, 1, 10, 101.0, 0.0),), held=10),
    "pybroker-market_buy": Cell(TRIP[:1], ((2, 1, 10, 100.8, 0.0),)),
    "pybroker-limit_buy": Cell(limit(98.2), ()),
    "pybroker-limit_buy_through_a_gap": Cell(limit(99.5), ((4, 1, 10, 99.0, None),)),
    "pybroker-long_stop_through_a_gap": stopped(99.5, 99.5, 4, "mid"),
    "pybroker-stop_and_target_in_one_bar": Cell(BRACKET, ((2, 1, 10, 100.8, None), (5, -1, 10, 97.5, None))),
    # pybroker tests limit orders against its fill price, and profit targets against the bar.
    "pybroker-legs_on_the_entry_bar": Cell(
        LATE_BRACKET,
        ((5, 1, 10, 100.5, None), (6, -1, 10, 103.5, None)),
        {"limit_touch": "at", "limit_price": "limit_or_open"},
    ),
    "pybroker-order_on_the_last_bar": Cell((bought(7),), ()),
    "pybroker-open_at_the_end": Cell(TRIP[:1], ((2, 1, 10, 100.8, 0.0),), held=10),
    "raptorbt-market_buy": Cell(TRIP[:1], ((1, 1, 10, 101.0, 0.0),)),
    "raptorbt-market_sell": Cell(TRIP[1:], ((3, -1, 10, 100.0, 0.0),)),
    "raptorbt-market_sell_at_the_next_open": Cell(
        TRIP[1:], ((4, -1, 10, 99.0, 0.0),), {"fill_bar": "next", "market_price": "open"}
    ),
    "raptorbt-long_stop_through_a_gap": stopped(99.5, 99.0, 4, "same"),
    "raptorbt-stop_and_target_in_one_bar": Cell(BRACKET, ((1, 1, 10, 101.0, None), (5, -1, 10, 97.5, None))),
    "raptorbt-legs_on_the_entry_bar": Cell(
        (bought(5, stop_loss=97.5, take_profit=103.5),), ((5, 1, 10, 103.0, None), (6, -1, 10, 103.5, None))
    ),
    "raptorbt-order_on_the_last_bar": Cell((bought(7),), ((7, 1, 10, 102.0, 0.0),)),
    "raptorbt-open_at_the_end": Cell(TRIP[:1], ((1, 1, 10, 101.0, 0.0),), held=10),
}
