"""Made-up results for the metrics: curves, trades and fills drawn from a seed with nothing but uniform numbers."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

INSTANT = pa.timestamp("us", tz="UTC")
START = date(2025, 1, 6)
BARS = 26
STEP = timedelta(minutes=15)
CAPITAL = 100_000.0

EQUITY = pa.schema(
    [
        ("session", pa.date32()),
        ("known_at", INSTANT),
        ("cash", pa.float64()),
        ("position_value", pa.float64()),
        ("equity", pa.float64()),
        ("gross_exposure", pa.float64()),
        ("net_exposure", pa.float64()),
        ("open_positions", pa.int32()),
    ]
)
SESSION_EQUITY = pa.schema(
    [
        ("session", pa.date32()),
        ("equity", pa.float64()),
        ("cash", pa.float64()),
        ("fees", pa.float64()),
        ("pnl", pa.float64()),
        ("gross_exposure", pa.float64()),
        ("turnover", pa.float64()),
    ]
)
FILLS = pa.schema(
    [
        ("fill_id", pa.int64()),
        ("order_id", pa.int64()),
        ("symbol", pa.dictionary(pa.int32(), pa.string())),
        ("filled_at", INSTANT),
        ("side", pa.int8()),
        ("quantity", pa.float64()),
        ("price", pa.float64()),
        ("commission", pa.float64()),
        ("fees", pa.float64()),
        ("slippage", pa.float64()),
        ("rule", pa.string()),
        ("ambiguous", pa.bool_()),
        ("worst_price", pa.float64()),
        ("best_price", pa.float64()),
        ("bar_timestamp", INSTANT),
        ("gap_adjacent", pa.bool_()),
        ("is_stale", pa.bool_()),
        ("is_defective", pa.bool_()),
    ]
)
TRADES = pa.schema(
    [
        ("trade_id", pa.int64()),
        ("symbol", pa.dictionary(pa.int32(), pa.string())),
        ("side", pa.int8()),
        ("entered_at", INSTANT),
        ("exited_at", INSTANT),
        ("quantity", pa.float64()),
        ("entry_price", pa.float64()),
        ("exit_price", pa.float64()),
        ("pnl", pa.float64()),
        ("gross_pnl", pa.float64()),
        ("commission", pa.float64()),
        ("mae", pa.float64()),
        ("mfe", pa.float64()),
        ("bars_held", pa.int32()),
        ("return_frac", pa.float64()),
        ("is_open", pa.bool_()),
    ]
)
SCHEMAS = {"equity": EQUITY, "session_equity": SESSION_EQUITY, "fills": FILLS, "trades": TRADES}


def normal(source: random.Random) -> float:
    """About normal: twelve uniforms."""
    return sum(source.random() for _ in range(12)) - 6.0


def sessions_from(start: date, count: int) -> list[date]:
    """Weekdays."""
    found, at = [], start
    while len(found) < count:
        if at.weekday() < 5:
            found.append(at)
        at += timedelta(days=1)
    return found


def instants(session: date) -> list[datetime]:
    """The bars' labels of one session."""
    first = datetime(session.year, session.month, session.day, 14, 30, tzinfo=UTC)
    return [first + k * STEP for k in range(BARS)]


def walk(count: int, seed: int, *, drift: float = 2e-5, size: float = 1e-3) -> list[float]:
    """Equity bar by bar, from CAPITAL, which is not among them."""
    source = random.Random(seed)
    equity = [CAPITAL]
    for _ in range(count):
        equity.append(equity[-1] * (1.0 + drift + size * normal(source)))
    return equity[1:]


def equity_rows(equity: list[float], dates: list[date], seed: int) -> list[dict[str, Any]]:
    """Rows of the table equity, flat now and then."""
    source = random.Random(seed)
    rows = []
    for (session, at), value in zip(((s, at) for s in dates for at in instants(s)), equity, strict=True):
        held = source.randrange(3)
        gross = held * 0.3 * value
        rows.append(
            {"session": session, "known_at": at, "cash": value - gross, "position_value": gross}
            | {"equity": value, "gross_exposure": gross, "net_exposure": gross, "open_positions": held}
        )
    return rows


def session_rows(equity: list[float], dates: list[date], seed: int) -> list[dict[str, Any]]:
    """Rows of the table session_equity: the last bar of each session."""
    source = random.Random(seed)
    ends = [CAPITAL, *equity[BARS - 1 :: BARS]]
    return [
        {"session": session, "equity": end, "cash": end, "pnl": end - before, "gross_exposure": 0.0}
        | {"fees": round(source.random() * 20.0, 2), "turnover": source.random() * 2.0 * end}
        for session, (before, end) in zip(dates, pairwise(ends), strict=True)
    ]


def trade_rows(dates: list[date], count: int, seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Trades of three symbols one after the other, the last of each open, and their fills."""
    source = random.Random(seed)
    clock = [at for session in dates for at in instants(session)]
    trades: list[dict[str, Any]] = []
    fills: list[dict[str, Any]] = []
    for symbol in ("AAA", "BBB", "CCC"):
        cuts = sorted(source.sample(range(len(clock)), count + 1)) if count else []
        for entered, exited in pairwise(cuts):
            side, quantity = source.choice((1, -1)), float(source.randrange(1, 500))
            entry = 50.0 + source.randrange(5000) / 100.0
            left = round(entry * (1.0 + 0.01 * normal(source)), 2)
            is_open = exited == cuts[-1]
            gross = side * quantity * (left - entry)
            trades.append(
                {"trade_id": len(trades), "symbol": symbol, "side": side, "entered_at": clock[entered]}
                | {"exited_at": None if is_open else clock[exited], "quantity": quantity, "entry_price": entry}
                | {"exit_price": None if is_open else left, "pnl": gross - 2.0, "gross_pnl": gross, "commission": 2.0}
                | {"mae": -abs(gross), "mfe": abs(gross), "bars_held": exited - entered, "is_open": is_open}
                | {"return_frac": (gross - 2.0) / (quantity * entry)}
            )
            legs = [(entered, side, entry)] + ([] if is_open else [(exited, -side, left)])
            fills += [
                _fill(source, len(fills) + k, symbol, clock[i], s, quantity, p) for k, (i, s, p) in enumerate(legs)
            ]
    return trades, sorted(fills, key=lambda fill: (fill["filled_at"], fill["fill_id"]))


def _fill(source, number, symbol, at, side, quantity, price) -> dict[str, Any]:
    ambiguous = source.random() < 0.2
    apart = round(source.random(), 2) if ambiguous else 0.0
    flags = {name: source.random() < 0.1 for name in ("gap_adjacent", "is_stale", "is_defective")}
    return (
        {"fill_id": number, "order_id": number, "symbol": symbol, "filled_at": at, "side": side, "quantity": quantity}
        | {"price": price, "commission": 1.0, "fees": 0.0, "slippage": 0.0, "rule": "open", "ambiguous": ambiguous}
        | {"worst_price": price + side * apart, "best_price": price - side * apart / 2.0, "bar_timestamp": at}
        | flags
    )


def as_tables(rows: dict[str, list[dict[str, Any]]]) -> dict[str, pa.Table]:
    """Rows as the tables of a run."""
    return {name: pa.Table.from_pylist(rows.get(name, []), schema=schema) for name, schema in SCHEMAS.items()}


def result_rows(sessions: int = 60, seed: int = 7, trades: int = 20) -> dict[str, list[dict[str, Any]]]:
    """A whole run: `trades` per symbol, the last of each open."""
    dates = sessions_from(START, sessions)
    equity = walk(sessions * BARS, seed)
    made, fills = trade_rows(dates, trades, seed)
    return {
        "equity": equity_rows(equity, dates, seed),
        "session_equity": session_rows(equity, dates, seed),
        "fills": fills,
        "trades": made,
    }


def benchmark_returns(sessions: int = 60, seed: int = 7) -> list[float]:
    """Session returns of something else, half of it the run itself."""
    source = random.Random(seed + 1000)
    ends = [CAPITAL, *walk(sessions * BARS, seed)[BARS - 1 :: BARS]]
    return [0.5 * (end / before - 1.0) + 0.004 * normal(source) for before, end in pairwise(ends)]


@st.composite
def any_rows(draw: st.DrawFn) -> dict[str, list[dict[str, Any]]]:
    """A run of any shape: empty, flat, broke, with trades and fills that need not belong together."""
    dates = sessions_from(START, draw(st.integers(0, 7)))
    steps = st.sampled_from([-10_000, *range(-300, 301, 25)]) if draw(st.booleans()) else st.integers(-200, 200)
    equity, value = [], CAPITAL
    for basis_points in draw(st.lists(steps, min_size=len(dates) * BARS, max_size=len(dates) * BARS)):
        value *= 1.0 + basis_points / 10_000.0
        equity.append(value)
    seed = draw(st.integers(0, 3))
    return {
        "equity": equity_rows(equity, dates, seed),
        "session_equity": session_rows(equity, dates, seed),
        "trades": [_any_trade(k, *parts) for k, parts in enumerate(draw(st.lists(ANY_TRADE, max_size=8)))],
        "fills": [_any_fill(k, *parts) for k, parts in enumerate(draw(st.lists(ANY_FILL, max_size=8)))],
    }


CLOCK = [at for session in sessions_from(START, 2) for at in instants(session)]
ANY_SYMBOL = st.sampled_from(["AAA", "BBB"])
ANY_CENTS = st.integers(-50_000, 50_000).map(lambda cents: cents / 100.0)
ANY_TRADE = st.tuples(ANY_SYMBOL, st.integers(0, 51), st.integers(0, 51), ANY_CENTS, st.booleans())
ANY_FLAGS = st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans())
ANY_FILL = st.tuples(
    ANY_SYMBOL, st.integers(0, 51), st.sampled_from([1, -1]), st.integers(1, 500), st.integers(0, 99), ANY_FLAGS
)


def _any_trade(number: int, symbol: str, one: int, other: int, pnl: float, is_open: bool) -> dict[str, Any]:
    entered, exited = sorted((one, other))
    return (
        {"trade_id": number, "symbol": symbol, "side": 1, "entered_at": CLOCK[entered], "quantity": 1.0}
        | {"exited_at": None if is_open else CLOCK[exited], "entry_price": 10.0, "exit_price": None, "pnl": pnl}
        | {"gross_pnl": pnl, "commission": 0.0, "mae": 0.0, "mfe": 0.0, "bars_held": exited - entered}
        | {"return_frac": pnl / 1000.0, "is_open": is_open}
    )


def _any_fill(
    number: int, symbol: str, at: int, side: int, quantity: int, apart: int, flags: tuple[bool, bool, bool, bool]
) -> dict[str, Any]:
    return (
        {"fill_id": number, "order_id": number, "symbol": symbol, "filled_at": CLOCK[at], "side": side, "price": 10.0}
        | {"quantity": float(quantity), "commission": 0.0, "fees": 0.0, "slippage": 0.0, "rule": "open"}
        | {"worst_price": 10.0 + side * apart / 100.0, "best_price": 10.0 - side * apart / 300.0}
        | {"bar_timestamp": CLOCK[at], "ambiguous": flags[0], "gap_adjacent": flags[1]}
        | {"is_stale": flags[2], "is_defective": flags[3]}
    )
