"""Generated sessions: gaps anywhere, symbols missing, half days, breaks, extended hours, one bar, none."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from backtester.data.calendar import Session
from backtester.data.session_file import bars_table
from backtester.features.intraday import derived_table, gaps_table, run_pass, running_table, summary_table
from backtester.interval import Interval
from backtester.schema import SESSION_TABLES
from tests.reference import Row

SECOND, MINUTE, DAY = 1_000_000, 60_000_000, 86_400_000_000
# Each source interval with what it is asked for: its own name, and derived intervals from narrow to wide.
INTERVALS = {
    SECOND: ("1s", ["5s", "10s", "15s", "20s", "1d"]),
    MINUTE: ("1m", ["5m", "10m", "15m", "20m", "1d"]),
    5 * MINUTE: ("5m", ["10m", "15m", "20m", "1d"]),
    DAY: ("1d", []),
}
OPEN = 1_750_000_020_000_000 // MINUTE * MINUTE


def session(length, pause=None, unit=MINUTE):
    """A session of `length` minutes (or other units) from OPEN; `pause` is (start, end) of a break in the same."""
    starts, ends = (None, None) if pause is None else (OPEN + pause[0] * unit, OPEN + pause[1] * unit)
    close = OPEN + length * unit
    return Session(dt.date(2025, 6, 16), OPEN, close, starts, ends, False, close + 480 * MINUTE)


def table(rows, symbols):
    """Rows as BARS, sorted by (timestamp, symbol)."""
    ordered = sorted(rows, key=lambda row: (row.at, row.symbol))
    codes = np.array([symbols.index(row.symbol) for row in ordered], dtype=np.int32)
    columns = [np.array([row[k] for row in ordered], dtype=np.float64) for k in range(2, 7)]
    return bars_table(np.array([row.at for row in ordered], dtype=np.int64), codes, symbols, columns), ordered


@st.composite
def generated(draw):
    """(session, rows in order, symbols, base step in us)."""
    step = draw(st.sampled_from(list(INTERVALS)))
    # Breaks begin and end on the grid of the bars, as every exchange's do; closes need not.
    pause = draw(st.sampled_from([None, (10, 15) if step == 5 * MINUTE else (7, 13)]))
    whole = session(draw(st.sampled_from([20, 31, 45])), pause, SECOND if step == SECOND else MINUTE)
    count = draw(st.sampled_from([1, 2, 5, 14, 30]))
    symbols = [f"S{k:02d}" for k in range(count)]
    seed, share = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([0.0, 0.02, 0.3, 0.9, 1.0]))
    outside = draw(st.booleans()) and step != DAY
    random = np.random.default_rng(seed)
    first, last = (OPEN - 3 * step, whole.close_at + 3 * step) if outside else (OPEN, whole.close_at)
    absent = {symbol for symbol in symbols if random.random() < 0.1}
    rows = []
    for at in range(first, last, step):
        for symbol in symbols:
            if symbol in absent or random.random() < share:
                continue
            # In whole cents: 9.57 * 100 is less than 957, and would let an open lie below the low.
            low, high = sorted(random.integers(900, 1100, 2).tolist())
            opened, closed = random.integers(low, high + 1, 2).tolist()
            prices = (cents / 100.0 for cents in (opened, high, low, closed))
            rows.append(Row(at, symbol, *prices, float(random.choice([0.0, 100.0, 0.1, 1234.567]))))
    return whole, rows, symbols, step


def pass_tables(session, rows, symbols, source, hours):
    """What a session commits of its pass: derived 5s or 5m, 15s or 15m, and 1d."""
    bars, _ = table(rows, symbols)
    derived = [
        Interval.parse(text) for text in ("5s", "15s", "5m", "15m", "1d") if source.divides(Interval.parse(text))
    ]
    done = run_pass(bars, session, interval=source, derived=derived, hours=hours)
    streams = [
        {"symbol": symbol, "interval": str(interval), "source": str(source), "reason": None}
        | {"stream": "STREAMED" if interval == source else "GENERATED"}
        for symbol in symbols
        for interval in (source, *derived)
    ]
    return {
        "running": running_table(done),
        "derived_bars": derived_table(done, derived),
        "gaps": gaps_table(done),
        "session_summary": summary_table(done, session),
        "streams": pa.Table.from_pylist(streams, schema=SESSION_TABLES["streams"]),
    }
