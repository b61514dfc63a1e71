"""Rows of a series: symbol after symbol, and whether they lie in an unbroken stretch of expected bars."""

from __future__ import annotations

from math import floor

from backtester.arrays import Float64, Int32, Int64, Spans
from backtester.kernels.jit import kernel

INFINITY = float("inf")
LARGEST = 2.0**62


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


@kernel
def symbol_order(codes: Int32, cursor: Int64, order: Int64, place: Int64) -> None:
    """order = the rows, symbol after symbol, each in its own order; place = where each symbol's stand now.

    cursor  [symbols]; where each symbol begins, moved on to where it ends
    """
    for i in range(len(codes)):
        k = cursor[codes[i]]
        cursor[codes[i]] = k + 1
        order[k] = i
        place[i] = k


@kernel
def whole_ticks(values: Float64, scale: float, out: Int64, found: Float64) -> None:
    """out = each value x scale, rounded half up; found = how many are no multiple of 1 / scale, and the largest tick.

    Bars are finite, import sees to it; a value that is not (an audit's poison) is tick 0 and counted. A tick past
    2^62 is 0 too, and refused by its size.
    """
    off, most = 0, 0.0
    for i in range(len(values)):
        scaled = values[i] * scale
        most = abs(scaled) if abs(scaled) > most and abs(scaled) < INFINITY else most
        scaled = scaled if abs(scaled) < LARGEST else 0.0
        tick = floor(scaled + 0.5)
        out[i] = int(tick)
        off += 0 if float(tick) / scale == values[i] else 1
    found[0], found[1] = float(off), most
