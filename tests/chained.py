"""The command line with one chained computation in it: each symbol's volume, every session fading to nine tenths.

Floating-point sums in session order, so another order or another start gives other bytes.
"""

import numpy as np
import pyarrow as pa

from backtester import schema
from backtester.cli import main
from backtester.data.columns import dictionary, numbers, text, view_of
from backtester.run import pool
from backtester.run.plan import Plan

FADED = pa.schema(
    [
        pa.field("symbol", schema.SYMBOL, nullable=False),
        pa.field("volume", pa.float64(), nullable=False),
        pa.field("sessions", pa.int32(), nullable=False),
    ]
)


def faded(summary, carry):
    """FADED after a session with this SESSION_SUMMARY, on top of what the session before left."""
    before = carry["faded"].to_pylist() if carry else []
    volumes = {row["symbol"]: 0.9 * row["volume"] for row in before}
    for row in summary.select(["symbol", "volume"]).to_pylist():
        volumes[row["symbol"]] = volumes.get(row["symbol"], 0.0) + row["volume"] / 3.0
    sessions = before[0]["sessions"] + 1 if before else 1
    # The dictionary in an order of its own, which a file read back need not have.
    names = sorted(volumes, reverse=True)
    codes = np.arange(len(names), dtype=np.int32)[::-1].copy()
    values = np.array([volumes[names[code]] for code in codes])
    arrays = [dictionary(codes, text(names)), numbers(values), numbers(np.full(len(names), sessions, dtype=np.int32))]
    return pa.Table.from_arrays(arrays, schema=FADED)


def chained(complete):
    """`complete` with the table `faded` added to what it returns."""

    def work(plan, prepared, carry):
        completed = complete(plan, prepared, carry)
        completed.tables["faded"] = faded(completed.tables["session_summary"], carry)
        assert view_of(completed.tables["faded"].column("sessions").chunk(0))[0] >= 1
        return completed

    return work


def install():
    """Make every run of this process a chained one."""
    schema.SESSION_TABLES["faded"] = FADED
    schema.CARRIED = ("faded",)
    Plan.is_chained = property(lambda _: True)
    pool.complete = chained(pool.complete)


def run():
    """The command line, every run chained."""
    install()
    main()
