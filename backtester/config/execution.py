"""`[execution]` and `[limits]`: the rules of docs/execution.md by the names they have there."""

from __future__ import annotations

import itertools
import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, field_validator, model_validator

from backtester.config.strict import STRICT, Problem, nearest, refuse
from backtester.errors import ConfigError
from backtester.interval import Interval

# What a named model sets where the config does not; prices of US shares in dollars, as published by those named.
COMMISSION_MODELS: dict[str, dict[str, Any]] = {
    "none": {},
    "per_order": {},
    "per_unit": {},
    "per_contract": {"per_unit": 0.85},
    "percent": {},
    "maker_taker": {},
    "tiered": {},
    "ib_fixed": {"per_unit": 0.005, "minimum": 1.0, "maximum_frac": 0.01},
    "ib_tiered": {
        "tiers": [(300_000.0, 0.0035), (3e6, 0.002), (2e7, 0.0015), (1e8, 0.001)],
        "per_unit": 0.0005,
        "minimum": 0.35,
        "maximum_frac": 0.01,
    },
    "lean_ib": {"per_unit": 0.005, "minimum": 1.0, "maximum_frac": 0.005, "cap_spares_minimum": True},
    "sec_taf_2024": {"sell_rate": 27.8e-6, "sell_per_unit": 0.000166, "sell_cap": 8.30},
}
# What a model is nothing without: one of these must be given.
_NEEDED = {
    "per_order": ("per_order",),
    "per_unit": ("per_unit",),
    "percent": ("rate",),
    "maker_taker": ("maker_rate", "taker_rate"),
    "tiered": ("tiers",),
}

Amount = Annotated[float, Field(ge=0.0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


def _pairs(value: object) -> object:
    # TOML and JSON have lists, no tuples.
    return [tuple(item) if isinstance(item, list) else item for item in value] if isinstance(value, list) else value


class Commission(BaseModel):
    """What a fill costs beside its price; the formula is in docs/execution.md."""

    model_config = STRICT

    model: str = "none"
    per_order: Amount = 0.0
    per_unit: Amount = 0.0
    tiers: Annotated[list[tuple[Amount, Amount]], BeforeValidator(_pairs)] = []  # (units a month below, per unit)
    rate: Amount | None = None  # both of maker_rate and taker_rate
    maker_rate: float = 0.0
    taker_rate: float = 0.0
    minimum: Amount = 0.0
    maximum_frac: Amount = 0.0  # 0: no maximum
    cap_spares_minimum: bool = False
    sell_rate: Amount = 0.0
    sell_per_unit: Amount = 0.0
    sell_cap: Amount = 0.0  # 0: no cap

    @model_validator(mode="before")
    @classmethod
    def _model_gives_defaults(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        name = value.get("model", "none")
        if not isinstance(name, str) or name not in COMMISSION_MODELS:
            message = f"no such commission model; {nearest(str(name), COMMISSION_MODELS)}"
            refuse("commission", [Problem(("model",), name, message)])
        absent = [key for key in _NEEDED.get(name, ()) if key not in value]
        if absent:
            refuse("commission", [Problem((key,), None, f"model {name} needs it; add it") for key in absent])
        return {**COMMISSION_MODELS[name], **value}

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        problems = []
        bounds = [bound for bound, _ in self.tiers]
        if any(bound >= after for bound, after in itertools.pairwise(bounds)):
            problems.append(Problem(("tiers",), self.tiers, "expected rising bounds; per_unit holds beyond the last"))
        if self.rate is not None and (self.maker_rate or self.taker_rate):
            problems.append(Problem(("rate",), self.rate, "rate stands for maker_rate and taker_rate; give either"))
        if problems:
            refuse("commission", problems)
        return self


class Execution(BaseModel):
    """When, at what price, how much and with which cash an order fills."""

    model_config = STRICT

    profile: Literal["default"] = "default"  # a named vector of the rules below, each of which may be given beside it
    capital: float = Field(default=100_000.0, gt=0.0)
    fill_bar: Literal["next", "same"] = "next"
    market_price: Literal["open", "close", "mid", "quote"] = "open"
    exits_first: bool = True
    intrabar: Literal["stop_first", "target_first", "ohlc", "olhc", "adaptive", "queue"] = "stop_first"
    arm: Literal["next_bar", "entry_bar"] = "entry_bar"
    limit_touch: Literal["at", "through", "close", "fill_price"] = "at"
    limit_price: Literal["limit_or_open", "limit", "limit_or_high", "market"] = "limit_or_open"
    limit_guard: bool = True
    stop_touch: Literal["at", "through", "close"] = "at"
    stop_price: Literal["stop_or_open", "stop", "stop_or_close", "market"] = "stop_or_open"
    trail_reference: Literal["high", "close"] = "high"
    trail_first: bool = False
    missing_bar: Literal["wait", "cancel"] = "wait"
    stale_after_bars: int = Field(default=0, ge=0)
    volume_frac: Share = 0.1
    volume_rest: Literal["carry", "cancel", "next_tick"] = "carry"
    slippage_bps: Amount = 0.0
    slippage_ticks: Amount = 0.0
    spread_bps: Amount = 0.0
    spread_on: Literal["both", "entry"] = "both"
    share_impact: Amount = 0.0
    share_cap: Share = 1.0
    limit_slippage: bool = False
    stop_slippage: bool = True
    slip_within_bar: bool = False
    round_fills: bool = False
    round_orders: bool = False
    tick: Amount = 0.0  # 0: none
    lot: Amount = 1.0  # 0: any fraction
    size_unit: Literal["units", "notional", "equity_frac", "cash_frac"] = "equity_frac"
    size_amount: float = Field(default=0.1, gt=0.0)
    size_at: Literal["decision", "fill"] = "decision"
    on_opposite: Literal["reverse", "close", "ignore"] = "reverse"
    cash: Literal["none", "at_fill", "reduce", "at_submit"] = "reduce"
    leverage: float = Field(default=1.0, ge=1.0)
    maintenance: Share = 0.0
    interest_rate: float = 0.0
    debit_rate: Amount = 0.0
    borrow_rate: Amount = 0.0
    lots: Literal["average", "fifo"] = "average"
    end: Literal["mark", "close", "open"] = "mark"
    commission: Commission = Commission()

    @model_validator(mode="after")
    def _ticks_are_set(self) -> Self:
        users = {
            "slippage_ticks": self.slippage_ticks > 0.0,
            "round_fills": self.round_fills,
            "round_orders": self.round_orders,
            "volume_rest": self.volume_rest == "next_tick",
        }
        needing = [name for name, uses in users.items() if uses]
        if needing and self.tick == 0.0:
            refuse("execution", [Problem(("tick",), self.tick, f"{', '.join(needing)} needs a tick size; set it")])
        return self

    @model_validator(mode="after")
    def _quotes_have_a_spread(self) -> Self:
        if self.market_price == "quote" and self.spread_bps == 0.0:
            refuse("execution", [Problem(("spread_bps",), 0.0, "market_price = quote needs the spread; set it")])
        return self


class Limits(BaseModel):
    """What is refused, and when trading stops; a limit of None is off."""

    model_config = STRICT

    max_buying_power: float | None = Field(default=None, gt=0.0)
    max_per_trade: float | None = Field(default=None, gt=0.0)
    max_per_symbol: float | None = Field(default=None, gt=0.0)
    max_open_positions: int | None = Field(default=None, ge=0)
    max_gross: float | None = Field(default=None, gt=0.0)
    max_daily_loss: float | None = Field(default=None, gt=0.0)
    daily_loss_action: Literal["halt", "flatten"] = "halt"
    restricted: list[str] = []
    flat_by: str | None = None

    @field_validator("flat_by")  # of the field, so that it is told together with what is wrong with others
    @classmethod
    def _flat_by_is_before_the_close(cls, value: str | None) -> str | None:
        if value is not None and _before_close(value) is None:
            raise ValueError('expected "close", or a time before it such as "close-5m"')
        return value

    @property
    def flat_by_us(self) -> int | None:
        """How long before a session's close nothing may be open any more, in microseconds; None if it may."""
        return None if self.flat_by is None else _before_close(self.flat_by)


def _before_close(text: str) -> int | None:
    if text == "close":
        return 0
    match = re.fullmatch(r"close-(.+)", text)
    if match is None:
        return None
    try:
        interval = Interval.parse(match[1])
    except ConfigError:
        return None
    return interval.us if interval.is_intraday else None
