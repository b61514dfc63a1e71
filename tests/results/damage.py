"""Damage planted in the ledger's tables of the small run: what changes, the check meant for it, others that fire."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

FIRST, SECOND = date(2025, 7, 2), date(2025, 7, 3)


@dataclass(frozen=True)
class Damage:
    """Values changed in one row of a table (`where` finds it), or a row added like it; `others` fire beside `check`."""

    check: str
    table: str
    where: dict[str, Any]
    values: dict[str, Any]
    others: set[str] = field(default_factory=set)
    session: date = SECOND
    added: bool = False
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)


def at(clock: str, session: date = SECOND) -> datetime:
    """An instant of a session, UTC."""
    return datetime.fromisoformat(f"{session}T{clock}").replace(tzinfo=UTC)


def fill(number: int) -> dict[str, Any]:
    """Where a fill is: 0 to 4 are the first session's, 5 to 7 the second's."""
    return {"fill_id": number}


def event(order: int, seq: int) -> dict[str, Any]:
    """Where an event is."""
    return {"order_id": order, "seq": seq}


def label(clock: str) -> dict[str, Any]:
    """Where a row of equity is."""
    return {"timestamp": at(clock)}


B = {"symbol": "BBB"}
# Order 4 was filled in the first session.
AGAIN = {"order_id": 4, "seq": 4, "event": "cancelled", "reason": "asked"}
PLANTED = [
    Damage("equity_adds_up", "equity", label("13:40"), {"equity": 50_000.0}),
    Damage("equity_adds_up", "equity", label("13:40"), {"timestamp": at("13:41")}),
    Damage("equity_adds_up", "equity", label("13:50"), {"gross_exposure": 1.0}),
    Damage("equity_adds_up", "equity", label("13:50"), {"cash": math.nan}, others={"equity_cash"}),
    Damage("equity_cash", "equity", label("13:50"), {"timestamp": at("13:29")}),
    Damage(
        "equity_cash",
        "fills",
        fill(6),
        {"timestamp": at("14:05"), "filled_at": at("14:06")},
        others={"events_fills", "trades_pnl"},
    ),
    Damage("cash_moves", "fills", fill(6), {"commission": 1.5}, others={"session_totals", "trades_pnl"}),
    Damage("cash_moves", "fills", fill(3), {"cash_after": 60_000.0}, session=FIRST, others={"equity_cash"}),
    Damage("cash_carried", "session_equity", {}, {"interest": 0.75}, others={"equity_explained"}),
    Damage("cash_carried", "session_equity", {}, {"interest": 0.75}, session=FIRST, others={"equity_explained"}),
    Damage("equity_carried", "session_equity", {}, {"start_equity": 50_000.0}, others={"equity_explained"}),
    Damage(
        "equity_carried", "session_equity", {}, {"start_equity": 50_001.0}, session=FIRST, others={"equity_explained"}
    ),
    Damage("equity_explained", "positions", B, {"unrealized_pnl": 1.0}, others={"positions_values"}),
    Damage("fills_position", "fills", fill(6), {"position_after": 49.0}, others={"trades_pnl"}),
    Damage("fills_position", "fills", fill(4), {"position_after": 31.0}, session=FIRST, others={"positions_end"}),
    Damage("positions_end", "fills", fill(7), {"position_after": 1.0}, others={"fills_position"}),
    Damage(
        "positions_end",
        "positions",
        B,
        {"quantity": 31.0},
        session=FIRST,
        others={"positions_carried", "positions_values"},
    ),
    Damage("positions_carried", "positions", B, {"quantity": 31.0}, others={"positions_values"}),
    Damage(
        "positions_carried",
        "positions",
        B,
        {"symbol": "CCC"},
        added=True,
        others={"equity_explained", "positions_equity"},
    ),
    Damage("positions_values", "positions", B, {"value": 100.0}, others={"positions_equity"}),
    Damage("positions_values", "positions", B, {"average_price": 10.0}),
    Damage("positions_values", "positions", B, {"average_price": math.nan}),
    Damage("positions_marks", "positions", B, {"mark_price": 12.0}, others={"positions_values"}),
    Damage("positions_equity", "positions", B, {"value": 100.0}, others={"positions_values"}),
    Damage("positions_equity", "equity", label("13:59"), {"open_positions": 2}),
    Damage("positions_flat", "positions", B, {}, settings={"limits": {"flat_by": "close-5m"}}),
    Damage("positions_flat", "fills", fill(6), {}, settings={"limits": {"flat_by": "close-21m"}}),
    Damage("session_totals", "session_equity", {}, {"fees": 4.0}, others={"equity_explained"}),
    Damage("session_totals", "session_equity", {}, {"turnover": 4.0}),
    Damage("session_totals", "session_equity", {}, {"realized_pnl": 4.0}, others={"equity_explained"}),
    Damage("session_totals", "session_equity", {}, {"equity": 4.0}, others={"equity_explained"}),
    Damage("session_totals", "session_equity", {}, {"cash": 4.0}),
    Damage("fills_values", "fills", fill(6), {"worst_price": 102.9}),
    Damage("fills_values", "fills", fill(6), {"ambiguous": False}),
    Damage("fills_values", "fills", fill(5), {"slippage": 0.0}),
    Damage(
        "fills_values",
        "fills",
        fill(5),
        {"quantity": -80.0},
        others={"cash_carried", "events_fills", "positions_carried", "session_totals", "trades_pnl"},
    ),
    Damage(
        "fills_values", "fills", fill(5), {"side": 0}, others={"cash_carried", "orders_filled", "positions_carried"}
    ),
    Damage(
        "fills_values",
        "fills",
        fill(5),
        {"price": math.inf},
        others={"events_fills", "fills_slippage", "session_totals"},
    ),
    Damage("fills_values", "fills", fill(6), {"realized_pnl": 1.0}, others={"session_totals", "trades_pnl"}),
    Damage(
        "fills_values",
        "fills",
        fill(6),
        {"filled_at": at("13:38")},
        others={"events_fills", "fills_accepted", "trades_pnl"},
    ),
    Damage("fills_in_bar", "fills", fill(6), {"reference_price": 102.9}, others={"fills_values"}),
    Damage("fills_in_bar", "fills", fill(6), {"bar_low": 103.1}),
    Damage("fills_in_bar", "fills", fill(7), {"reference_price": 105.0}, others={"fills_slippage", "fills_values"}),
    Damage(
        "fills_slippage",
        "fills",
        fill(5),
        {"price": 103.24},
        others={"cash_carried", "events_fills", "fills_values", "session_totals"},
    ),
    Damage(
        "fills_slippage",
        "fills",
        fill(5),
        {"price": 103.25 * 1.0011},
        others={"cash_carried", "events_fills", "fills_values", "session_totals"},
    ),
    Damage("fills_rule", "fills", fill(5), {"reference_price": 103.26}, others={"fills_values"}),
    Damage("fills_rule", "fills", fill(5), {"rule": "market_close"}),
    Damage("fills_rule", "fills", fill(5), {"rule": "market_mid"}),
    Damage(
        "fills_accepted",
        "fills",
        fill(5),
        {"timestamp": at("13:34"), "filled_at": at("13:34")},
        others={"equity_cash", "events_fills", "trades_pnl"},
    ),
    Damage("fills_accepted", "fills", fill(7), {}, settings={"execution": {"arm": "next_bar"}}),
    Damage("fills_volume", "fills", fill(5), {"bar_volume": 790.0}),
    Damage("fills_restricted", "fills", fill(6), {}, settings={"limits": {"restricted": ["CCC", "AAA"]}}),
    Damage("orders_values", "orders", {"order_id": 8}, {"limit_price": None}),
    Damage("orders_values", "orders", {"order_id": 8}, {"limit_price": math.nan}),
    Damage("orders_values", "orders", {"order_id": 7}, {"side": 0}, others={"orders_filled"}),
    Damage("orders_values", "orders", {"order_id": 7}, {"tif": "gtd"}),
    Damage("orders_values", "orders", {"order_id": 9}, {"stop_price": -1.0}),
    Damage("orders_submitted", "orders", {"order_id": 7}, {"submitted_at": at("13:34")}),
    Damage("orders_submitted", "order_events", event(7, 0), {"event": "accepted"}, others={"events_ordered"}),
    Damage("orders_known", "order_events", event(7, 0), {"order_id": 70}, others={"events_carried"}),
    Damage(
        "orders_known",
        "fills",
        fill(5),
        {"symbol": "BBB"},
        others={"positions_carried", "positions_end", "trades_cover"},
    ),
    Damage("orders_filled", "orders", {"order_id": 8}, {"quantity": 49.0}),
    Damage("orders_filled", "orders", {"order_id": 8}, {"side": -1}),
    Damage(
        "events_ordered",
        "order_events",
        event(7, 1),
        {"event": "cancelled", "reason": "asked"},
        others={"events_carried"},
    ),
    Damage("events_ordered", "order_events", event(7, 1), {"happened_at": at("13:44")}),
    Damage("events_ordered", "order_events", event(7, 1), {"event": "vanished"}),
    Damage("events_ordered", "order_events", event(7, 2), {"seq": 3}, others={"events_carried"}),
    Damage(
        "events_carried",
        "order_events",
        event(4, 2),
        {"seq": 4},
        session=FIRST,
        others={"events_fills", "events_ordered"},
    ),
    Damage("events_carried", "order_events", event(7, 0), AGAIN, added=True),
    Damage("events_reasons", "order_events", event(7, 2), {"price": None}, others={"events_fills"}),
    Damage("events_reasons", "order_events", event(7, 1), {"quantity": 3.0, "price": 1.0}),
    Damage("events_reasons", "order_events", event(6, 1), {"reason": None}, session=FIRST),
    Damage("events_fills", "order_events", event(7, 2), {"quantity": 79.0}),
    Damage("events_fills", "fills", fill(5), {"order_id": 8}, others={"fills_accepted", "orders_filled"}),
    Damage("trades_values", "trades", {"trade_id": 3}, {"mae": 1.0}),
    Damage("trades_values", "trades", {"trade_id": 3}, {"exited_at": None}),
    Damage("trades_values", "trades", {"trade_id": 3}, {"exited_at": at("13:30")}, others={"trades_pnl"}),
    Damage("trades_values", "trades", {"trade_id": 2}, {"is_open": False}, others={"trades_pnl"}),
    Damage("trades_pnl", "trades", {"trade_id": 3}, {"pnl": 1.0}),
    Damage("trades_pnl", "trades", {"trade_id": 3}, {"commission": 1.0}),
    Damage("trades_pnl", "trades", {"trade_id": 0}, {"exit_fills": 1}, session=FIRST),
    Damage("trades_pnl", "fills", fill(5), {"realized_pnl": -70.0}, others={"session_totals"}),
    Damage("trades_cover", "trades", {"trade_id": 3}, {"trade_id": 30}, others={"trades_pnl"}),
    Damage("trades_cover", "fills", fill(7), {"trade_id": 30}, others={"trades_pnl"}),
    Damage("signals_values", "signals", {}, {"known_at": at("13:34")}),
    Damage("signals_values", "signals", {}, {"amount": math.nan}),
    Damage("signals_values", "signals", {}, {"kind": "hope"}),
    Damage("signals_values", "signals", {"kind": "target"}, {"amount": None}, session=FIRST),
]
