"""The rule vector: settings turned into the numbers the kernels read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backtester.arrays import frozen
from backtester.config.execution import Execution, Limits
from backtester.errors import ConfigError
from backtester.kernels import codes
from backtester.kernels.state import Rules

INFINITY = float("inf")


def rules_of(
    execution: Execution,
    limits: Limits | None = None,
    *,
    symbols: Sequence[str],
    quality: bool = False,
    marks: bool = True,
    events: bool = True,
) -> Rules:
    """The rule vector of a run.

    symbols  by code
    quality  entries ask whether the row is there, and its NO_ENTRY and UNSELECTED flags
    marks    record the equity of every label
    events   write orders and their events; a sweep needs neither
    """
    limits = limits or Limits()
    unknown = sorted(set(limits.restricted) - set(symbols))
    if unknown:
        raise ConfigError(f"limits.restricted: {', '.join(unknown)} is no symbol of the run; leave it out")
    commission = execution.commission
    maker, taker = commission.maker_rate, commission.taker_rate
    if commission.rate is not None:
        maker = taker = commission.rate
    maximum = {
        name: INFINITY if getattr(limits, name) is None else float(getattr(limits, name))
        for name in (
            *("max_buying_power", "max_per_trade", "max_per_symbol", "max_open_positions", "max_gross"),
            "max_daily_loss",
        )
    }
    restricted = np.array([symbol in limits.restricted for symbol in symbols], dtype=np.bool_)
    limited = any(value < INFINITY for name, value in maximum.items() if name != "max_daily_loss")
    guarded = maximum["max_daily_loss"] < INFINITY or execution.maintenance > 0.0 or limits.flat_by is not None
    is_free = commission.model_copy(update={"model": "none", "cap_spares_minimum": False}) == type(commission)()
    both = execution.spread_on == "both"
    return Rules(
        same_bar=int(execution.fill_bar == "same"),
        # Bars hold no quotes: one is the close with the spread around it, which slippage adds.
        market_price=codes.MARKET_PRICES.index(
            "close" if execution.market_price == "quote" else execution.market_price
        ),
        exits_first=int(execution.exits_first),
        intrabar=codes.INTRABARS.index(execution.intrabar),
        arm=codes.ARMS.index(execution.arm),
        limit_touch=codes.LIMIT_TOUCHES.index(execution.limit_touch),
        limit_price=codes.LIMIT_PRICES.index(execution.limit_price),
        limit_guard=int(execution.limit_guard),
        stop_touch=codes.STOP_TOUCHES.index(execution.stop_touch),
        stop_price=codes.STOP_PRICES.index(execution.stop_price),
        trail_reference=codes.TRAIL_REFERENCES.index(execution.trail_reference),
        trail_first=int(execution.trail_first),
        missing_bar=codes.MISSING_BARS.index(execution.missing_bar),
        stale_after_bars=execution.stale_after_bars,
        volume_frac=execution.volume_frac,
        volume_rest=codes.VOLUME_RESTS.index(execution.volume_rest),
        slips=int(_slips(execution)),
        slippage_frac=execution.slippage_bps / 10_000.0,
        slippage_price=execution.slippage_ticks * execution.tick,
        spread_frac=execution.spread_bps / (20_000.0 if both else 10_000.0),
        spread_on=codes.SPREADS_ON.index(execution.spread_on),
        share_impact=execution.share_impact,
        share_cap=execution.share_cap,
        limit_slippage=int(execution.limit_slippage),
        stop_slippage=int(execution.stop_slippage),
        slip_within_bar=int(execution.slip_within_bar),
        round_fills=int(execution.round_fills),
        round_orders=int(execution.round_orders),
        tick=execution.tick,
        per_tick=_per_tick(execution.tick),
        lot=execution.lot,
        size_unit=codes.UNITS.index(execution.size_unit),
        size_amount=execution.size_amount,
        size_at=codes.SIZED_AT.index(execution.size_at),
        on_opposite=codes.ON_OPPOSITES.index(execution.on_opposite),
        cash=codes.CASH_RULES.index(execution.cash),
        margin=1.0 / execution.leverage,
        maintenance=execution.maintenance,
        interest_rate=execution.interest_rate,
        debit_rate=execution.debit_rate,
        borrow_rate=execution.borrow_rate,
        carries=int(bool(execution.interest_rate or execution.debit_rate or execution.borrow_rate)),
        fifo=int(execution.lots == "fifo"),
        end=codes.ENDS.index(execution.end),
        charges=int(not is_free),
        per_order=commission.per_order,
        per_unit=commission.per_unit,
        maker_rate=maker,
        taker_rate=taker,
        minimum=commission.minimum,
        maximum_frac=commission.maximum_frac,
        cap_spares_minimum=int(commission.cap_spares_minimum),
        sell_rate=commission.sell_rate,
        sell_per_unit=commission.sell_per_unit,
        sell_cap=commission.sell_cap or INFINITY,
        checks=int(limited or guarded or quality or bool(restricted.any()) or execution.cash == "at_submit"),
        max_buying_power=maximum["max_buying_power"],
        max_per_trade=maximum["max_per_trade"],
        max_per_symbol=maximum["max_per_symbol"],
        max_open_positions=maximum["max_open_positions"],
        max_gross=maximum["max_gross"],
        guards=int(guarded),
        max_daily_loss=maximum["max_daily_loss"],
        flattens=codes.DAILY_LOSS_ACTIONS.index(limits.daily_loss_action),
        flat_by=int(limits.flat_by is not None),
        quality=int(quality),
        orders=1,
        marks=int(marks),
        events=int(events),
        restricted=frozen(restricted),
        tier_bounds=frozen(np.array([bound for bound, _ in commission.tiers])),
        tier_rates=frozen(np.array([rate for _, rate in commission.tiers])),
    )


def _slips(execution: Execution) -> bool:
    moves = (execution.slippage_bps, execution.slippage_ticks, execution.spread_bps, execution.share_impact)
    return any(moves) or execution.slip_within_bar or execution.round_fills


def _per_tick(tick: float) -> float:
    # k / 100 is the double nearest to a price in cents; k x 0.01 is not always.
    whole = float(round(1.0 / tick)) if tick > 0.0 else 0.0
    return whole if whole >= 1.0 and abs(whole * tick - 1.0) < 1e-9 else 0.0
