"""The Arrow schema of every table: dtype, unit, and what null and NaN mean.

Prices are in quote currency, volumes in units, instants in UTC microseconds. A column is nullable only where the
comment beside it says what null means.
"""

from __future__ import annotations

import pyarrow as pa

INSTANT = pa.timestamp("us", tz="UTC")
SYMBOL = pa.dictionary(pa.int32(), pa.string())


def _required(name: str, dtype: pa.DataType) -> pa.Field:
    return pa.field(name, dtype, nullable=False)


PRICES = [_required(name, pa.float64()) for name in ("open", "high", "low", "close", "volume")]

# One row per symbol and label, sorted by (timestamp, symbol); timestamp is the bar's start.
BARS = pa.schema([_required("timestamp", INSTANT), _required("symbol", SYMBOL), *PRICES])

# One row per bar of the run's hours: session to date, this bar included. vwap is NaN before the first volume.
RUNNING = pa.schema(
    [
        _required("timestamp", INSTANT),
        _required("symbol", SYMBOL),
        _required("running_volume", pa.float64()),
        _required("running_high", pa.float64()),
        _required("running_low", pa.float64()),
        _required("running_vwap", pa.float64()),
        _required("running_bars", pa.int32()),
    ]
)

# Sorted by (interval, timestamp, symbol), intervals from narrow to wide. `bars` source bars of `expected_bars` were
# there; is_partial says that the close or a break cut the window short. Windows without a bar have no row.
DERIVED_BARS = pa.schema(
    [
        _required("interval", SYMBOL),
        _required("timestamp", INSTANT),
        _required("symbol", SYMBOL),
        *PRICES,
        _required("bars", pa.int32()),
        _required("expected_bars", pa.int32()),
        _required("is_partial", pa.bool_()),
        _required("known_at", INSTANT),
    ]
)

# One row per run of missing bars on the calendar's grid, sorted by (first_missing, symbol). kind: `opening` begins with
# the session (a session without a bar is one opening gap), `closing` lasts to its end, `inside` neither.
GAPS = pa.schema(
    [
        _required("symbol", SYMBOL),
        _required("kind", SYMBOL),
        _required("first_missing", INSTANT),
        _required("last_missing", INSTANT),
        _required("missing_bars", pa.int32()),
    ]
)

# One row per symbol, sorted by symbol. Prices and the two instants are null without a bar, vwap without volume.
# pre_bars, post_bars and post_volume count rows stored outside [open, close), whichever hours the run takes.
SESSION_SUMMARY = pa.schema(
    [
        _required("symbol", SYMBOL),
        pa.field("open", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("close", pa.float64()),
        _required("volume", pa.float64()),
        pa.field("vwap", pa.float64()),
        _required("bars", pa.int32()),
        _required("expected_bars", pa.int32()),
        _required("missing_bars", pa.int32()),
        _required("longest_gap_bars", pa.int32()),
        _required("quality_pct", pa.float64()),
        pa.field("first_bar", INSTANT),
        pa.field("last_bar", INSTANT),
        _required("pre_bars", pa.int32()),
        _required("post_bars", pa.int32()),
        _required("post_volume", pa.float64()),
        _required("session_open", INSTANT),
        _required("session_close", INSTANT),
        pa.field("break_start", INSTANT),  # null where the session has no break, here and below
        pa.field("break_end", INSTANT),
    ]
)

# One row per symbol and requested interval. stream: STREAMED (read), GENERATED (derived from `source`) or IGNORED.
# source is null for IGNORED; reason is null unless IGNORED.
STREAMS = pa.schema(
    [
        _required("symbol", SYMBOL),
        _required("interval", SYMBOL),
        _required("stream", SYMBOL),
        pa.field("source", SYMBOL),
        pa.field("reason", SYMBOL),
    ]
)

# Trailing sessions of this one, one row per symbol and trailing session, sorted by (trailing_session, symbol).
TRAILING = pa.schema(
    [
        _required("trailing_session", pa.date32()),
        _required("symbol", SYMBOL),
        _required("bars", pa.int32()),
        _required("expected_bars", pa.int32()),
        _required("quality_pct", pa.float64()),
    ]
)

# One row per symbol-session that could not be computed, with the error's words.
FAILURES = pa.schema([_required("symbol", SYMBOL), _required("phase", SYMBOL), _required("reason", pa.string())])

# One row per step of a session's six phases; the only table that holds clock readings, so it lies under log/.
FLOW = pa.schema(
    [
        _required("phase", pa.int32()),
        _required("step", pa.string()),
        _required("started_at", INSTANT),
        _required("seconds", pa.float64()),
        _required("rows", pa.int64()),
        _required("detail", pa.string()),
    ]
)

# Rows an import set aside by declared policy, as the vendor wrote them after scaling and the zone; row counts from 1.
QUARANTINE = pa.schema(
    [
        _required("symbol", SYMBOL),
        pa.field("timestamp", INSTANT),  # null where the vendor's label could not be read
        pa.field("open", pa.float64()),  # null where the vendor's number could not be read, here and below
        pa.field("high", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("close", pa.float64()),
        pa.field("volume", pa.float64()),
        _required("reason", SYMBOL),
        _required("source", SYMBOL),
        _required("row", pa.int64()),
    ]
)

# One row per metric of a run, in the order they are documented. variant is empty for this project's own definition.
# Of value and moment one is set, or neither, and then note says why; the units `session` and `instant` are moments.
METRICS = pa.schema(
    [
        _required("id", pa.string()),
        _required("metric", pa.string()),
        _required("variant", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("moment", INSTANT),
        _required("unit", pa.string()),
        _required("formula", pa.string()),
        pa.field("note", pa.string()),
    ]
)

# The committed tables of a session, in the order they are written. `running` is written only when asked for.
SESSION_TABLES = {
    "running": RUNNING,
    "derived_bars": DERIVED_BARS,
    "gaps": GAPS,
    "session_summary": SESSION_SUMMARY,
    "streams": STREAMS,
    "trailing": TRAILING,
    "failures": FAILURES,
}
