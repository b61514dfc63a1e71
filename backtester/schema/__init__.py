"""The Arrow schema of every table: dtype, unit, and what null and NaN mean.

Prices are in quote currency, volumes in units, instants in UTC microseconds. A column is nullable only where the
comment beside it says what null means. The ledger's tables are in ledger.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from backtester.schema.carried import CARRIED_TABLES
from backtester.schema.fields import INSTANT as INSTANT
from backtester.schema.fields import SYMBOL as SYMBOL
from backtester.schema.fields import required
from backtester.schema.ledger import LEDGER_TABLES as LEDGER_TABLES

PRICES = [required(name, pa.float64()) for name in ("open", "high", "low", "close", "volume")]

# One row per symbol and label, sorted by (timestamp, symbol); timestamp is the bar's start.
BARS = pa.schema([required("timestamp", INSTANT), required("symbol", SYMBOL), *PRICES])

# One row per bar of the run's hours: session to date, this bar included. vwap is NaN before the first volume.
RUNNING = pa.schema(
    [
        required("timestamp", INSTANT),
        required("symbol", SYMBOL),
        required("running_volume", pa.float64()),
        required("running_high", pa.float64()),
        required("running_low", pa.float64()),
        required("running_vwap", pa.float64()),
        required("running_bars", pa.int32()),
    ]
)

# Sorted by (interval, timestamp, symbol), intervals from narrow to wide. `bars` source bars of `expected_bars` were
# there; is_partial says that the close or a break cut the window short. Windows without a bar have no row.
DERIVED_BARS = pa.schema(
    [
        required("interval", SYMBOL),
        required("timestamp", INSTANT),
        required("symbol", SYMBOL),
        *PRICES,
        required("bars", pa.int32()),
        required("expected_bars", pa.int32()),
        required("is_partial", pa.bool_()),
        required("known_at", INSTANT),
    ]
)

# One row per run of missing bars on the calendar's grid, sorted by (first_missing, symbol). kind: `opening` begins with
# the session (a session without a bar is one opening gap), `closing` lasts to its end, `inside` neither.
GAPS = pa.schema(
    [
        required("symbol", SYMBOL),
        required("kind", SYMBOL),
        required("first_missing", INSTANT),
        required("last_missing", INSTANT),
        required("missing_bars", pa.int32()),
    ]
)

# One row per symbol, sorted by symbol. Prices and the two instants are null without a bar, vwap without volume.
# pre_bars, post_bars and post_volume count rows stored outside [open, close), whichever hours the run takes.
SESSION_SUMMARY = pa.schema(
    [
        required("symbol", SYMBOL),
        pa.field("open", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("close", pa.float64()),
        required("volume", pa.float64()),
        pa.field("vwap", pa.float64()),
        required("bars", pa.int32()),
        required("expected_bars", pa.int32()),
        required("missing_bars", pa.int32()),
        required("longest_gap_bars", pa.int32()),
        required("quality_pct", pa.float64()),
        pa.field("first_bar", INSTANT),
        pa.field("last_bar", INSTANT),
        required("pre_bars", pa.int32()),
        required("post_bars", pa.int32()),
        required("post_volume", pa.float64()),
        required("session_open", INSTANT),
        required("session_close", INSTANT),
        pa.field("break_start", INSTANT),  # null where the session has no break, here and below
        pa.field("break_end", INSTANT),
    ]
)

# One row per symbol and requested interval. stream: STREAMED (read), GENERATED (derived from `source`) or IGNORED.
# source is null for IGNORED; reason is null unless IGNORED.
STREAMS = pa.schema(
    [
        required("symbol", SYMBOL),
        required("interval", SYMBOL),
        required("stream", SYMBOL),
        pa.field("source", SYMBOL),
        pa.field("reason", SYMBOL),
    ]
)

# Trailing sessions of this one, one row per symbol and trailing session, sorted by (trailing_session, symbol).
TRAILING = pa.schema(
    [
        required("trailing_session", pa.date32()),
        required("symbol", SYMBOL),
        required("bars", pa.int32()),
        required("expected_bars", pa.int32()),
        required("quality_pct", pa.float64()),
    ]
)

# What indicators of continuous scope hand to the next session, sorted by (key, symbol): `rows:INTERVAL` the bars they
# look back on, `state:KEY` an indicator's averages, `last:KEY` its latest values.
INDICATOR_STATE = pa.schema(
    [
        required("symbol", SYMBOL),
        required("key", SYMBOL),
        required("values", pa.list_(required("item", pa.float64()))),
    ]
)

# Sorted by (interval, timestamp, symbol); one float64 column per indicator column follows, named by its key: null where
# there is no value yet, and on the rows of other intervals than its own.
INDICATORS = pa.schema(
    [
        required("interval", SYMBOL),
        required("timestamp", INSTANT),
        required("symbol", SYMBOL),
        required("known_at", INSTANT),
    ]
)


def indicators_schema(columns: Sequence[str]) -> pa.Schema:
    """INDICATORS with the columns of a config's indicators."""
    return pa.schema([*INDICATORS, *(pa.field(name, pa.float64()) for name in columns)])


# What a session knows before it opens, sorted by (key, symbol): one row per symbol and value. Of the window_periods
# asked for (`unit`: sessions, weeks, bars) `used` took part, from bars stored as `source`; the calendar has `sessions`
# from first_session to last_session, null where it has none; the symbol has bars in sessions_used of them, and misses
# some in sessions_with_gaps of those.
HISTORICAL_INDICATORS = pa.schema(
    [
        required("key", SYMBOL),
        required("indicator", SYMBOL),
        required("symbol", SYMBOL),
        pa.field("value", pa.float64()),  # null where nothing took part, or not all that `missing` requires
        required("unit", SYMBOL),
        required("window_periods", pa.int32()),
        required("used", pa.int32()),
        required("source", SYMBOL),
        pa.field("first_session", pa.date32()),
        pa.field("last_session", pa.date32()),
        required("sessions", pa.int32()),
        required("sessions_used", pa.int32()),
        required("sessions_with_gaps", pa.int32()),
    ]
)

# Historical values by slot of this session, sorted by (key, timestamp, symbol); timestamp is the label of the slot's
# first bar, session_minute its trading minutes since the open. value is null where no session has one.
HISTORICAL_PROFILES = pa.schema(
    [
        required("key", SYMBOL),
        required("timestamp", INSTANT),
        required("symbol", SYMBOL),
        required("session_minute", pa.int32()),
        pa.field("value", pa.float64()),
        required("sessions_used", pa.int32()),
    ]
)

# One row per change of what a scanner selects, sorted by known_at, then as the config lists the scanners, then symbol.
# action: selected, dropped. reason is what the scanner said beside it, null where it said nothing.
SELECTIONS = pa.schema(
    [
        required("known_at", INSTANT),
        required("symbol", SYMBOL),
        required("scanner", SYMBOL),
        required("action", SYMBOL),
        pa.field("reason", pa.string()),
    ]
)

# One row per symbol-session that could not be computed, with the error's words.
FAILURES = pa.schema([required("symbol", SYMBOL), required("phase", SYMBOL), required("reason", pa.string())])

# One row per step of a session's six phases; the only table that holds clock readings, so it lies under log/.
FLOW = pa.schema(
    [
        required("phase", pa.int32()),
        required("step", pa.string()),
        required("started_at", INSTANT),
        required("seconds", pa.float64()),
        required("rows", pa.int64()),
        required("detail", pa.string()),
    ]
)

# Rows an import set aside by declared policy, as the vendor wrote them after scaling and the zone; row counts from 1.
QUARANTINE = pa.schema(
    [
        required("symbol", SYMBOL),
        pa.field("timestamp", INSTANT),  # null where the vendor's label could not be read
        pa.field("open", pa.float64()),  # null where the vendor's number could not be read, here and below
        pa.field("high", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("close", pa.float64()),
        pa.field("volume", pa.float64()),
        required("reason", SYMBOL),
        required("source", SYMBOL),
        required("row", pa.int64()),
    ]
)

# One row per metric of a run, in the order they are documented. variant is empty for this project's own definition.
# Of value and moment one is set, or neither, and then note says why; the units `session` and `instant` are moments.
METRICS = pa.schema(
    [
        required("id", pa.string()),
        required("metric", pa.string()),
        required("variant", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("moment", INSTANT),
        required("unit", pa.string()),
        required("formula", pa.string()),
        pa.field("note", pa.string()),
    ]
)

# The committed tables of a whole run, written when it finishes.
RUN_TABLES = {"metrics": METRICS}

# The committed tables of a session, in the order they are written. `running` is written only when asked for, the
# ledger's only by a run with a strategy; an empty table is not written.
SESSION_TABLES = {
    "running": RUNNING,
    "derived_bars": DERIVED_BARS,
    "gaps": GAPS,
    "session_summary": SESSION_SUMMARY,
    "streams": STREAMS,
    "trailing": TRAILING,
    "indicators": INDICATORS,
    "indicator_state": INDICATOR_STATE,
    "historical_indicators": HISTORICAL_INDICATORS,
    "historical_profiles": HISTORICAL_PROFILES,
    "failures": FAILURES,
    "selections": SELECTIONS,
    **LEDGER_TABLES,
    **CARRIED_TABLES,
}

# What a session hands to the next one of a chained run, each a committed table of it.
CARRIED: tuple[str, ...] = ("indicator_state", *CARRIED_TABLES)
