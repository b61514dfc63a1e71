"""What the exact ledger reads and writes: bars, labels, rules, requests, orders, fills."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

FOREVER = 2**62


class Bar(NamedTuple):
    """Prices and volume of one symbol at one label."""

    open: Fraction
    high: Fraction
    low: Fraction
    close: Fraction
    volume: Fraction


class Label(NamedTuple):
    """One label of the clock; `bars` by symbol number, `may_enter` false for the symbols whose row may not."""

    at: int
    ends: int  # label + interval
    session: int
    day: int  # the session's date, as days since some day
    month: int
    close_at: int
    is_first: bool
    is_last: bool
    bars: dict
    barred: frozenset = frozenset()  # symbols below the quality asked for
    unselected: frozenset = frozenset()  # symbols that no scanner has selected


@dataclass
class Commission:
    """One order's fee, by the page's formula."""

    per_order: Fraction = Fraction(0)
    per_unit: Fraction = Fraction(0)
    maker_rate: Fraction = Fraction(0)
    taker_rate: Fraction = Fraction(0)
    minimum: Fraction = Fraction(0)
    maximum_frac: Fraction = Fraction(0)
    cap_spares_minimum: bool = False
    sell_rate: Fraction = Fraction(0)
    sell_per_unit: Fraction = Fraction(0)
    sell_cap: Fraction | None = None
    tiers: tuple = ()  # (bound or None, per_unit)


@dataclass
class Rules:
    """The rule vector, by the page's names; None is off."""

    capital: Fraction = Fraction(100_000)
    fill_bar: str = "next"
    market_price: str = "open"
    limit_touch: str = "at"
    limit_price: str = "limit_or_open"
    limit_guard: bool = True
    stop_touch: str = "at"
    stop_price: str = "stop_or_open"
    intrabar: str = "stop_first"
    exits_first: bool = True
    arm: str = "entry_bar"
    trail_reference: str = "high"
    trail_first: bool = False
    volume_frac: Fraction = Fraction(1, 10)
    volume_rest: str = "carry"
    missing_bar: str = "wait"
    stale_after_bars: int = 0
    tick: Fraction = Fraction(0)
    lot: Fraction = Fraction(1)
    round_fills: bool = False
    round_orders: bool = False
    slippage_bps: Fraction = Fraction(0)
    slippage_ticks: Fraction = Fraction(0)
    spread_bps: Fraction = Fraction(0)
    spread_on: str = "both"
    share_impact: Fraction = Fraction(0)
    share_cap: Fraction = Fraction(1)
    limit_slippage: bool = False
    stop_slippage: bool = True
    slip_within_bar: bool = False
    cash: str = "reduce"
    leverage: Fraction = Fraction(1)
    maintenance: Fraction = Fraction(0)
    size_unit: str = "equity_frac"
    size_amount: Fraction = Fraction(1, 10)
    size_at: str = "decision"
    on_opposite: str = "reverse"
    interest_rate: Fraction = Fraction(0)
    debit_rate: Fraction = Fraction(0)
    borrow_rate: Fraction = Fraction(0)
    lots: str = "average"
    end: str = "mark"
    commission: Commission = field(default_factory=Commission)
    quality: bool = False
    restricted: frozenset = frozenset()
    max_open_positions: int | None = None
    max_per_trade: Fraction | None = None
    max_per_symbol: Fraction | None = None
    max_gross: Fraction | None = None
    max_buying_power: Fraction | None = None
    max_daily_loss: Fraction | None = None
    daily_loss_action: str = "halt"
    flat_by_us: int | None = None  # how long before the close


@dataclass
class Legs:
    """What an entry carries; each price is (value, is_frac) or None."""

    stop_loss: tuple | None = None
    trail: tuple | None = None
    take_profit: tuple | None = None
    exit_after_bars: int = 0

    def __bool__(self):
        return bool(self.stop_loss or self.trail or self.take_profit or self.exit_after_bars)


@dataclass
class Request:
    """What a strategy asks at one label; `kind` target, enter, exit, order or cancel."""

    symbol: int
    kind: str
    unit: str = "units"  # notional, weight (targets), equity_frac, cash_frac, close
    amount: Fraction = Fraction(0)
    side: int = 1
    order_type: str = "market"
    tif: str = "gtc"
    limit: Fraction | None = None
    stop: Fraction | None = None
    trail: tuple | None = None  # (value, is_frac)
    legs: Legs = field(default_factory=Legs)
    until: int = FOREVER
    group: int = 0
    rank: Fraction = Fraction(0)


@dataclass
class Order:
    """One order; `quantity` is its size once known, None before."""

    id: int
    symbol: int
    side: int
    type: str
    role: str
    label: int
    session: int
    unit: str = "units"
    amount: Fraction = Fraction(0)
    quantity: Fraction | None = None
    tif: str = "gtc"
    limit: Fraction | None = None
    stop: Fraction | None = None
    trail: tuple | None = None
    legs: Legs = field(default_factory=Legs)
    until: int = FOREVER
    group: int = 0
    parent: int | None = None
    is_leg: bool = False
    reference: Fraction | None = None  # of a trailing stop
    bars_left: int = 0  # of a timer
    filled: Fraction = Fraction(0)
    value: Fraction = Fraction(0)
    charged: Fraction = Fraction(0)
    rate: Fraction | None = None
    per_unit: Fraction = Fraction(0)
    bars_met: int = 0
    legs_made: bool = False
    was_stop: bool = False
    turned: int = -1  # the label of its latest turn
    status: str = "live"

    @property
    def closes(self):
        """True where the size is whatever the position is."""
        return self.unit == "close"


class Fill(NamedTuple):
    """One fill; `price` after costs, `reference` before."""

    order: int
    symbol: int
    label: int
    at_open: bool
    side: int
    quantity: Fraction
    price: Fraction
    reference: Fraction
    commission: Fraction
    rule: str
    ambiguous: bool
    worst: Fraction
    best: Fraction
    position: Fraction
    cash: Fraction
    trade: int
    realized: Fraction


class Event(NamedTuple):
    """One row of an order's life."""

    order: int
    label: int
    event: str
    reason: str
