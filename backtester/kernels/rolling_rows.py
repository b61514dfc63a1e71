"""Which rows of a series lie in an unbroken stretch of expected bars."""

from __future__ import annotations

from backtester.arrays import Float64, Int64, Spans
from backtester.kernels.jit import kernel


@kernel
def unbroken(
    spans: Spans, missing: Int64, hollow: Int64, missing_after: Int64, run: Float64, bars: Int64, since: Int64
) -> None:
    """bars[i] = consecutive bars up to row i without one missing among or inside them; since[i] = 1 if since the open.

    missing, hollow, bars and since have the session's rows alone; run [symbols] goes on from the session before
    """
    row = 0
    for s in range(len(spans.first)):
        length, is_whole = int(run[s]), 1
        for _ in range(spans.end[s] - spans.begin[s]):
            if missing[row] > 0:
                length, is_whole = 0, 0
            length += 1
            if hollow[row] > 0:
                length, is_whole = 0, 0
            bars[row], since[row] = length, is_whole
            row += 1
        run[s] = 0.0 if missing_after[s] > 0 else float(length)
