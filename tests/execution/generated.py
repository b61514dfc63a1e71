"""Generated cases: several symbols and sessions, gaps, half days, breaks, halts, every order type and every rule.

How comparisons are kept equal in floats and fractions: prices are whole ticks of 1/64 (or of 1/256 before rounding),
and slippage, fees, fractions and capital are binary fractions too, so that what touches, ties, rounds or is compared
with a limit is exact in both. What is not (a weight over a price, a day's interest, a squared share) decides nothing
but a quantity, which is rounded to whole lots or compared to nine digits.
"""

from __future__ import annotations

import datetime as dt
import random

from tests.execution.two_engines import MINUTE, Case, Day

TICK = 1 / 64
START = 1_750_080_600_000_000
TYPES = (
    "market",
    "limit",
    "stop",
    "stop_limit",
    "limit_if_touched",
    "trailing_stop",
    "market_on_open",
    "market_on_close",
)

# Each rule with what it may be; the first half of a case's rules stay as they are by default.
RULES = {
    "fill_bar": ("next", "same"),
    "market_price": ("open", "close", "mid"),
    "exits_first": (True, False),
    "intrabar": ("stop_first", "target_first", "ohlc", "olhc", "adaptive", "queue"),
    "arm": ("next_bar", "entry_bar"),
    "limit_touch": ("at", "through", "close", "fill_price"),
    "limit_price": ("limit_or_open", "limit", "limit_or_high", "market"),
    "limit_guard": (True, False),
    "stop_touch": ("at", "through", "close"),
    "stop_price": ("stop_or_open", "stop", "stop_or_close", "market"),
    "trail_reference": ("high", "close"),
    "trail_first": (True, False),
    "missing_bar": ("wait", "cancel"),
    "stale_after_bars": (0, 1, 2, 5),
    "volume_frac": (0.0, 0.125, 0.5, 0.1),
    "volume_rest": ("carry", "cancel", "next_tick"),
    "slippage_bps": (0.0, 39.0625, 9.765625),
    "slippage_ticks": (0.0, 1.0, 0.5),
    "spread_bps": (0.0, 78.125, 19.53125),
    "spread_on": ("both", "entry"),
    "share_impact": (0.0, 0.125),
    "share_cap": (1.0, 0.25, 0.03125),
    "limit_slippage": (True, False),
    "stop_slippage": (True, False),
    "slip_within_bar": (True, False),
    "round_fills": (True, False),
    "round_orders": (True, False),
    "lot": (1.0, 0.0, 10.0, 0.25),
    "size_unit": ("units", "notional", "equity_frac", "cash_frac"),
    "size_at": ("decision", "fill"),
    "on_opposite": ("reverse", "close", "ignore"),
    "cash": ("none", "at_fill", "reduce", "at_submit"),
    "leverage": (1.0, 2.0, 4.0),
    "maintenance": (0.0, 0.25, 0.5),
    "interest_rate": (0.0, 0.03125),
    "debit_rate": (0.0, 0.0625),
    "borrow_rate": (0.0, 0.125),
    "lots": ("average", "fifo"),
    "end": ("mark", "close", "open"),
}
SIZES = {"units": (1.0, 7.0, 10.0, 25.0, 100.0), "notional": (500.0, 2000.0, 20_000.0)}
SIZES |= {"equity_frac": (0.125, 0.25, 0.5, 1.0), "cash_frac": (0.25, 0.5, 1.0)}


def generated(seed):
    """The case of a seed."""
    rng = random.Random(seed)
    symbols = rng.choice((1, 2, 3, 4, 6))
    days = _days(rng)
    count = sum(len(day.labels) for day in days)
    bars = _bars(rng, days, symbols)
    execution, limits = _execution(rng), _limits(rng, symbols)
    no_entry = {key for key in bars if rng.random() < 0.2} if rng.random() < 0.15 else set()
    requests = _requests(rng, days, count, symbols, bars, execution)
    unselected = {key for key in bars if rng.random() < 0.2} if rng.random() < 0.15 else set()
    return Case(days, bars, requests, execution, limits, symbols, no_entry, unselected)


def _days(rng):
    days, date, first = [], dt.date(2025, 6, rng.choice((16, 26, 30))), START
    for _ in range(rng.choice((1, 1, 2, 3))):
        length = rng.choice((1, 5, 8, 14, 20))
        pause = rng.choice((None, None, (3, 2)))  # after the third label two minutes of break
        labels = [first + (k + (pause[1] if pause and k >= pause[0] else 0)) * MINUTE for k in range(length)]
        if rng.random() < 0.2 and length > 3:
            labels = [*labels[:2], *labels[3:]]  # a label of which the calendar knows nothing
        close_at = labels[-1] + MINUTE - (rng.random() < 0.1) * MINUTE // 2
        days.append(Day(date, labels, close_at))
        skipped = rng.choice((1, 1, 3))
        date, first = date + dt.timedelta(days=skipped), first + skipped * 1440 * MINUTE
    return days


def _bars(rng, days, symbols):
    bars, number = {}, 0
    price = [rng.randrange(5000, 7000) for _ in range(symbols)]
    spread = rng.choice((4, 12, 40))
    missing = [rng.choice((0.0, 0.0, 0.1, 0.4)) for _ in range(symbols)]
    for day in days:
        absent = {symbol for symbol in range(symbols) if rng.random() < 0.08}
        for symbol in range(symbols):
            price[symbol] += rng.randrange(-3 * spread, 3 * spread + 1)
        halted = {symbol: rng.randrange(len(day.labels)) for symbol in range(symbols) if rng.random() < 0.1}
        for k in range(len(day.labels)):
            quiet = rng.random() < 0.03
            for symbol in range(symbols):
                halt = symbol in halted and halted[symbol] <= k < halted[symbol] + 4
                if quiet or halt or symbol in absent or rng.random() < missing[symbol]:
                    continue
                opened = price[symbol] + (rng.randrange(-spread, spread + 1) if rng.random() < 0.3 else 0)
                closed = opened + rng.randrange(-spread, spread + 1)
                high = max(opened, closed) + rng.choice((0, 0, 1, spread // 2))
                low = min(opened, closed) - rng.choice((0, 0, 1, spread // 2))
                price[symbol] = closed
                volume = rng.choice((0, 5, 17, 100, 100, 1000, 1000, 100_000))
                bars[number + k, symbol] = (opened * TICK, high * TICK, low * TICK, closed * TICK, float(volume))
        number += len(day.labels)
    return bars


def _execution(rng):
    chance = rng.choice((0.0, 0.1, 0.3, 0.7))
    chosen = {name: rng.choice(values) for name, values in RULES.items() if rng.random() < chance}
    chosen["capital"] = rng.choice((2048.0, 16384.0, 131072.0, 1048576.0))
    chosen["tick"] = TICK
    unit = chosen.get("size_unit", "equity_frac")
    chosen["size_amount"] = rng.choice(SIZES[unit])
    if rng.random() < 0.5:
        chosen["commission"] = _commission(rng)
    return chosen


def _commission(rng):
    fees = {"model": "none", "per_order": rng.choice((0.0, 0.5)), "minimum": rng.choice((0.0, 0.0, 1.0))}
    if rng.random() < 0.3:
        fees["tiers"] = [(20.0, 0.03125), (100.0, 0.015625)]
    fees["per_unit"] = rng.choice((0.0, 0.0078125, 0.0625))
    if rng.random() < 0.5:
        fees |= {"maker_rate": rng.choice((-0.0001220703125, 0.000244140625)), "taker_rate": 0.0009765625}
    if rng.random() < 0.3:
        fees |= {"maximum_frac": rng.choice((0.00390625, 0.0009765625)), "cap_spares_minimum": rng.random() < 0.5}
    if rng.random() < 0.3:
        fees |= {"sell_rate": 0.00006103515625, "sell_per_unit": 0.001953125, "sell_cap": rng.choice((0.0, 0.125))}
    return fees


def _limits(rng, symbols):
    if rng.random() < 0.5:
        return {}
    choices = {
        "max_buying_power": (8192.0, 65536.0),
        "max_per_trade": (1024.0, 16384.0),
        "max_per_symbol": (2048.0, 16384.0),
        "max_open_positions": (1, 2),
        "max_gross": (0.5, 1.0),
        "max_daily_loss": (4.0, 64.0, 512.0),
        "daily_loss_action": ("halt", "flatten"),
        "flat_by": ("close", "close-1m", "close-3m"),
        "restricted": (["S00"], [f"S{symbols - 1:02d}"]),
    }
    return {name: rng.choice(values) for name, values in choices.items() if rng.random() < 0.25}


def _requests(rng, days, count, symbols, bars, execution):
    fine = 4 if execution.get("round_orders") else 1
    times = [at for day in days for at in day.labels]
    busy, plain = rng.choice((0.05, 0.2, 0.6)), rng.choice((0.0, 0.5))
    last, requests = {}, []
    for number in range(count):
        for symbol in range(symbols):
            if (number, symbol) in bars:
                last[symbol] = bars[number, symbol][3]
            if rng.random() >= busy or (symbol not in last and rng.random() < 0.97):
                continue
            mark = last.get(symbol, 100.0)
            row = _request(rng, mark, fine, plain)
            row |= {"label": number, "symbol": symbol}
            if row.get("tif") == "gtd":
                row["until"] = times[min(number + rng.randrange(5), count - 1)] + rng.choice((0, 30_000_000, MINUTE))
            requests.append(row)
            if rng.random() < 0.2:
                requests.append(_request(rng, mark, fine, plain) | {"label": number, "symbol": symbol, "tif": "day"})
    return requests


def _request(rng, mark, fine, plain):
    kind = rng.choice(("target", "enter", "enter", "exit", "order", "order", "order", "cancel"))
    row = {"kind": kind, "rank": float(rng.choice((0, 0, 0, 1, 2)))}
    if kind in ("exit", "cancel"):
        return row
    side = rng.choice((1, 1, -1))
    if kind == "target":
        unit = rng.choice(("units", "notional", "equity_frac"))
        row |= {"unit": unit, "amount": rng.choice((0.0, side * rng.choice(SIZES[unit])))}
    elif kind == "enter":
        row["side"] = side
    else:
        unit = rng.choice(("units", "units", "units", "notional", "equity_frac", "cash_frac"))
        row |= {"unit": unit, "amount": rng.choice(SIZES[unit]), "side": side}
        if rng.random() < 0.2:
            row["group"] = rng.randrange(3)
    if rng.random() >= plain:
        _price(rng, row, side, mark, fine)
    return row


def _price(rng, row, side, mark, fine):
    def near(away, reach=16):
        """A price up to `reach` ticks from the mark, on the wrong side of it now and then."""
        ticks = away * rng.randrange(-2 * fine, reach * fine) / fine
        return mark + ticks * TICK

    kind = row["order_type"] = rng.choice(TYPES)
    row["tif"] = rng.choice(("gtc", "gtc", "gtc", "day", "ioc", "fok", "gtd"))
    if kind == "limit":
        row["limit"] = near(-side)
    elif kind == "stop":
        row["stop"] = near(side)
    elif kind == "stop_limit":
        row["stop"] = near(side)
        row["limit"] = row["stop"] + rng.choice((-3, 0, 2, 6)) * side * TICK
    elif kind == "limit_if_touched":
        row["stop"] = near(-side)
        row["limit"] = row["stop"] + rng.choice((-3, 0, 2)) * side * TICK
    elif kind == "trailing_stop":
        row["trail"] = rng.choice((4 * TICK, 12 * TICK, (0.00390625,)))
    if rng.random() < 0.02:
        row["limit"] = rng.choice((0.0, -1.0))
    if rng.random() < 0.5:
        if rng.random() < 0.7:
            row["stop_loss"] = rng.choice(((0.0009765625,), (0.0078125,), near(-side, 20)))
        if rng.random() < 0.7:
            row["take_profit"] = rng.choice(((0.001953125,), (0.0078125,), near(side, 20)))
        if rng.random() < 0.3:
            row["leg_trail"] = rng.choice(((0.00390625,), 8 * TICK))
        if rng.random() < 0.3:
            row["exit_after_bars"] = rng.choice((1, 2, 5))
