"""Why a fill has its price, what became of an order, what made a trade: from the run's own tables and nothing else."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from backtester.data.run_dir import RunDir
from backtester.errors import UsageError
from backtester.results.ledger_rows import Row, one_row, rows_of, settings_of

# What each rule of a fill takes as its reference price (docs/execution.md, "When and at what price").
RULES = {
    "market_open": "a market order at the bar's open",
    "market_close": "a market order at the bar's close",
    "market_mid": "a market order at (high + low) / 2",
    "market_on_open": "the open of a later session's first bar",
    "market_on_close": "the close of the session's last label",
    "same_close": "at the close of the bar it was decided on (fill_bar = same)",
    "limit": "the limit was touched inside the bar: the limit",
    "limit_at_open": "the open was at the limit or better: the open",
    "limit_at_high": "the limit, or the bar's extreme if that is better (limit_or_high)",
    "limit_at_market": "the limit was touched: the market price (limit_price = market)",
    "stop": "the stop was touched inside the bar: the stop",
    "stop_at_open": "the open was beyond the stop, which was never on offer: the open",
    "stop_at_close": "the stop was touched: the close, or the stop if that is worse (stop_or_close)",
    "stop_at_market": "the stop was touched: the market price (stop_price = market)",
    "stop_limit": "the stop was touched and its limit allowed it: the stop",
    "touched": "the touch price was reached inside the bar: that price",
    "touched_at_open": "the open was at the touch price or better: the open",
    "remainder": "what the bar's volume did not give, one tick worse (volume_rest = next_tick)",
    "flat_by": "closed at its mark at the session's end (limits.flat_by)",
    "end_close": "closed at its last close at the end of data (end = close)",
    "end_open": "filled at the last bar's open at the end of data (end = open)",
}
# Why an order ended unfilled, in the order of docs/execution.md.
REASONS = {
    "price": "a limit, stop or trail that is no finite positive number, or a symbol without a mark",
    "quantity": "0 units after rounding to lots, or more than 1e18",
    "restricted": "the symbol is in limits.restricted",
    "no_bar": "its symbol had no bar where it was decided, so [quality] or [[scanners]] could not let it in",
    "quality": "the bar it was decided on is below [quality]",
    "not_selected": "no scanner had selected its symbol by the bar it was decided on",
    "halted": "trading is halted by limits.max_daily_loss",
    "flat_by": "past the cut-off of limits.flat_by",
    "max_open_positions": "limits.max_open_positions is reached",
    "max_per_trade": "more than limits.max_per_trade",
    "max_per_symbol": "more than limits.max_per_symbol",
    "max_gross": "more than limits.max_gross x equity",
    "max_buying_power": "more than limits.max_buying_power",
    "cash": "free cash does not cover it (execution.cash)",
    "replaced": "a later target replaced it",
    "exit": "an exit cancelled it",
    "asked": "the strategy cancelled it",
    "leg": "a sibling leg filled",
    "oco": "another order of its group filled",
    "flat": "the position it belonged to is gone",
    "missing": "its bar was missing (missing_bar = cancel)",
    "stale": "its first bar came too late (stale_after_bars)",
    "volume": "the bar's volume did not give it (volume_rest = cancel)",
    "ioc": "not filled by its first bar",
    "fok": "its first bar did not fill all of it",
    "day": "the session ended",
    "gtd": "its time came",
    "margin_call": "a margin call",
    "daily_loss": "the daily loss was reached",
    "end": "the data ended",
}
BAR = ("bar_open", "bar_high", "bar_low", "bar_close", "bar_volume")
COSTS = ("commission", "slippage", "realized_pnl")
FLAGS = ("ambiguous", "gap_adjacent", "is_stale", "is_defective")


class Told(NamedTuple):
    """One thing explained: its kind and number, and sections of (name, value) pairs."""

    what: str
    number: int
    sections: dict[str, Row]


def explain_fill(run: RunDir, number: int) -> Told:
    """A fill: bar, rule, prices considered, costs, cash before and after, quality flags, and the order behind it."""
    fill = one_row(run, "fills", "fill_id", number)
    order = one_row(run, "orders", "order_id", fill["order_id"])
    before = fill["cash_after"] + fill["side"] * fill["quantity"] * fill["price"] + fill["commission"]
    prices = {name: order[name] for name in ("limit_price", "stop_price", "trail") if order[name] is not None}
    prices |= {"reference_price": fill["reference_price"], "price": fill["price"]}
    if fill["ambiguous"]:
        prices |= {"worst_price": fill["worst_price"], "best_price": fill["best_price"]}
    execution = settings_of(run).get("execution", {})
    sections = {
        "fill": {
            **{name: fill[name] for name in ("symbol", "session", "timestamp", "filled_at")},
            "side": _side(fill["side"]),
            "quantity": fill["quantity"],
            "trade_id": fill["trade_id"],
        },
        "bar": {name.removeprefix("bar_"): fill[name] for name in BAR if fill[name] is not None},
        "rule": {fill["rule"]: _rule(fill, order)},
        "prices": prices,
        "costs": {name: fill[name] for name in COSTS},
        "account": {
            "cash_before": before,
            "cash_after": fill["cash_after"],
            "position_before": fill["position_after"] - fill["side"] * fill["quantity"],
            "position_after": fill["position_after"],
        },
        "quality": {name: fill[name] for name in FLAGS},
        "order": _order(order),
        "execution": {name: execution[name] for name in _settings_for(fill["rule"]) if name in execution},
    }
    return Told("fill", number, sections)


def explain_order(run: RunDir, number: int) -> Told:
    """An order: what was asked, every event of its life, its fills."""
    order = one_row(run, "orders", "order_id", number)
    sections = {"order": _order(order)}
    for event in rows_of(run, "order_events", order_id=number):
        sections[f"event {event['seq']}"] = _event(event)
    for fill in rows_of(run, "fills", order_id=number):
        sections[f"fill {fill['fill_id']}"] = _short_fill(fill)
    return Told("order", number, sections)


def explain_trade(run: RunDir, number: int) -> Told:
    """A trade: its figures, and its fills one by one."""
    found = rows_of(run, "trades", trade_id=number)
    fills = rows_of(run, "fills", trade_id=number)
    if not found and not fills:
        one_row(run, "trades", "trade_id", number)
    sections: dict[str, Row] = {"trade": found[-1] if found else {"is_open": True}}
    if found:
        sections["trade"] = {**found[-1], "side": _side(found[-1]["side"])}
    for fill in fills:
        sections[f"fill {fill['fill_id']}"] = _short_fill(fill)
    return Told("trade", number, sections)


def explain_reject(run: RunDir, number: int) -> Told:
    """An order that was refused or ended unfilled: which rule refused it, its setting, and what was asked."""
    events = rows_of(run, "order_events", order_id=number)
    ended = [event for event in events if event["reason"] is not None]
    if not ended:
        refused = sorted({row["order_id"] for row in rows_of(run, "order_events", event="rejected")})
        listed = ", ".join(map(str, refused[:10])) or "none"
        raise UsageError(f"{run.root}: order {number} was not refused; those that were: {listed}")
    order, event = one_row(run, "orders", "order_id", number), ended[-1]
    settings = settings_of(run)
    limits = {f"limits.{name}": value for name, value in settings.get("limits", {}).items() if name == event["reason"]}
    sections = {"order": _order(order), "refused": {**_event(event), "because": REASONS[event["reason"]], **limits}}
    asked = [
        row
        for row in rows_of(run, "signals", symbol=order["symbol"], timestamp=order["timestamp"])
        if row["known_at"] <= order["submitted_at"]
    ]
    for place, row in enumerate(asked):
        names = ("kind", "unit", "amount", "side", "order_type", "limit_price", "stop_price", "rank")
        sections[f"signal {place}"] = {name: row[name] for name in names if row[name] is not None}
    return Told("reject", number, sections)


def _rule(fill: Row, order: Row) -> str:
    is_rest = fill["rule"].startswith("market_") and order["order_type"] in ("stop", "trailing_stop")
    return RULES[fill["rule"]] + (": what the bar that touched the stop did not fill" if is_rest else "")


def _order(order: Row) -> Row:
    names = ("order_id", "symbol", "order_type", "role", "tif", "quantity", "limit_price", "stop_price", "trail")
    kept = {name: order[name] for name in names if order[name] is not None}
    more = {name: order[name] for name in ("parent_id", "oco_group", "until") if order[name] is not None}
    return {**kept, "side": _side(order["side"]), "decided_on": order["timestamp"], **more}


def _event(event: Row) -> Row:
    kept = {
        name: event[name]
        for name in ("event", "timestamp", "happened_at", "quantity", "price")
        if event[name] is not None
    }
    return kept | ({"reason": event["reason"]} if event["reason"] is not None else {})


def _short_fill(fill: Row) -> Row:
    names = ("timestamp", "filled_at", "quantity", "price", "commission", "realized_pnl", "position_after", "rule")
    return {"side": _side(fill["side"])} | {name: fill[name] for name in names}


def _settings_for(rule: str) -> list[str]:
    """The execution settings that decide a rule's price."""
    kind = rule.split("_")[0]
    own = {
        "market": ["fill_bar", "market_price"],
        "same": ["fill_bar"],
        "limit": ["limit_touch", "limit_price", "limit_guard", "limit_slippage"],
        "stop": ["stop_touch", "stop_price", "stop_slippage"],
        "touched": ["limit_touch", "limit_price"],
        "remainder": ["volume_frac", "volume_rest", "tick"],
        "end": ["end"],
    }.get(kind, [])
    return [*own, "intrabar", "slippage_bps", "slippage_ticks", "spread_bps", "share_impact", "round_fills"]


def _side(side: int) -> str:
    return "buy" if side > 0 else "sell"


def text_of(told: Told) -> str:
    """A Told as aligned lines."""
    lines = [f"{told.what} {told.number}"]
    for name, pairs in told.sections.items():
        width = max((len(key) for key in pairs), default=0)
        lines += [f"  {name}", *(f"    {key:{width}}  {_shown(value)}" for key, value in pairs.items())]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ").replace("+00:00", "Z")
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
