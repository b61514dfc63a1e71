"""Highest and lowest of windows and what is made of them: channels, oscillators between them, swings, levels.

The arguments are those of `rolling_averages`.
"""

from __future__ import annotations

from math import floor

from backtester.arrays import Columns, Float64, Scratch, Spans
from backtester.kernels.jit import kernel
from backtester.kernels.rolling import INFINITY, NAN, true_range, window_high, window_low, window_sum


@kernel
def high_low(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """Highest high and lowest low of the last `period`."""
    period = int(params[4])
    for s in range(len(spans.first)):
        first, begin, end = spans.first[s], spans.begin[s], spans.end[s]
        full = min(max(first + period - 1, begin), end)
        window_high(columns.bars.high, first, full, end, period, scratch.a, scratch.rest)
        window_low(columns.bars.low, first, full, end, period, scratch.b, scratch.rest)
        for i in range(begin, full):
            out[0, i] = out[1, i] = NAN
        for i in range(full, end):
            out[0, i], out[1, i] = scratch.a[i - first], scratch.b[i - first]


@kernel
def donchian(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """Highest high, the middle, and lowest low of the last `period`."""
    period, scale = int(params[4]), params[1]
    for s in range(len(spans.first)):
        first, begin, end = spans.first[s], spans.begin[s], spans.end[s]
        full = min(max(first + period - 1, begin), end)
        window_high(columns.bars.high, first, full, end, period, scratch.a, scratch.rest)
        window_low(columns.bars.low, first, full, end, period, scratch.b, scratch.rest)
        for i in range(begin, full):
            out[0, i] = out[1, i] = out[2, i] = NAN
        for i in range(full, end):
            high, low = scratch.a[i - first], scratch.b[i - first]
            # In whole ticks: the sum of two decimals is rarely one, and its half would not be either.
            is_number = high > -INFINITY and low < INFINITY
            middle = (floor(high * scale + 0.5) + floor(low * scale + 0.5)) / (2.0 * scale) if is_number else NAN
            out[0, i], out[1, i], out[2, i] = high, middle, low


@kernel
def williams_r(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """-100 (highest - close) / (highest - lowest) of the last `period`; -50 where they are equal."""
    ticks, period = columns.ticks, int(params[4])
    for s in range(len(spans.first)):
        first, begin, end = spans.first[s], spans.begin[s], spans.end[s]
        full = min(max(first + period - 1, begin), end)
        window_high(ticks.high, first, full, end, period, scratch.a, scratch.rest)
        window_low(ticks.low, first, full, end, period, scratch.b, scratch.rest)
        for i in range(begin, full):
            out[0, i] = NAN
        for i in range(full, end):
            high, low = scratch.a[i - first], scratch.b[i - first]
            out[0, i] = -100.0 * (high - float(ticks.close[i])) / (high - low) if high > low else -50.0


@kernel
def stochastic(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """%K of the last `period` (slow: its mean over k_smooth) and %D, the mean of %K over `smooth`.

    state  rows seen, mod smooth and mod k_smooth
    """
    ticks, period, smooth, k_smooth = columns.ticks, int(params[4]), int(params[5]), int(params[7])
    # Fast %K is %K as it is.
    k_smooth = k_smooth if params[6] == 1.0 else 1
    for s in range(len(spans.first)):
        first, begin, end = spans.first[s], spans.begin[s], spans.end[s]
        warm = first + period - 1
        full_k = min(max(warm + k_smooth - 1, begin), end)
        full_d = min(max(warm + k_smooth + smooth - 2, begin), end)
        from_k = min(max(warm + k_smooth - 1, begin - smooth + 1), end)
        from_raw = min(max(warm, begin - smooth - k_smooth + 2), end)
        window_high(ticks.high, first, from_raw, end, period, scratch.a, scratch.rest)
        window_low(ticks.low, first, from_raw, end, period, scratch.b, scratch.rest)
        for i in range(from_raw, end):
            high, low = scratch.a[i - first], scratch.b[i - first]
            scratch.c[i - first] = 100.0 * (float(ticks.close[i]) - low) / (high - low) if high > low else 50.0
        phase_k, phase_d = begin - int(state[s, 1]), begin - int(state[s, 0])
        window_sum(scratch.c, first, from_raw, from_k, end, k_smooth, phase_k, scratch.a, scratch.rest)
        for i in range(from_k, end):
            scratch.a[i - first] /= k_smooth
        window_sum(scratch.a, first, from_k, full_d, end, smooth, phase_d, scratch.b, scratch.rest)
        for i in range(begin, full_k):
            out[0, i] = NAN
        for i in range(full_k, end):
            out[0, i] = scratch.a[i - first]
        for i in range(begin, full_d):
            out[1, i] = NAN
        for i in range(full_d, end):
            out[1, i] = scratch.b[i - first] / smooth
        state[s, 0] = float((int(state[s, 0]) + end - begin) % smooth)
        state[s, 1] = float((int(state[s, 1]) + end - begin) % k_smooth)


@kernel
def cci(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """(typical - mean) / (0.015 x mean absolute deviation) over the last `period`, of whole ticks; 0 where flat.

    Every row looks at its whole window: no sliding sum gives absolute deviations from a moving mean.
    """
    ticks, period, typical = columns.ticks, int(params[4]), scratch.m
    for s in range(len(spans.first)):
        first, begin, end = spans.first[s], spans.begin[s], spans.end[s]
        full = min(max(first + period - 1, begin), end)
        for i in range(max(first, full - period + 1), end):
            typical[i - first] = period * (ticks.high[i] + ticks.low[i] + ticks.close[i])
        for i in range(begin, full):
            out[0, i] = NAN
        total = 0
        for i in range(full - period + 1, full):
            total += ticks.high[i] + ticks.low[i] + ticks.close[i] if full < end else 0
        for i in range(full, end):
            total += ticks.high[i] + ticks.low[i] + ticks.close[i]
            oldest = i - period + 1
            deviation = 0
            for k in range(oldest - first, oldest - first + period):
                deviation += abs(typical[k] - total)
            above = float(typical[i - first] - total) * period
            out[0, i] = above / (0.015 * float(deviation)) if deviation > 0 else 0.0
            total -= ticks.high[oldest] + ticks.low[oldest] + ticks.close[oldest]


@kernel
def ultimate_osc(
    spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64
) -> None:
    """100 (4 a + 2 b + c) / 7: buying pressure over true range of short, medium and long windows; 0 where flat."""
    ticks, short, medium, long = columns.ticks, int(params[4]), int(params[5]), int(params[6])
    pressure, ranges = scratch.m, scratch.n
    for s in range(len(spans.first)):
        first, begin, end = spans.first[s], spans.begin[s], spans.end[s]
        widest = max(short, medium, long)
        full = min(max(first + widest, begin), end)
        for i in range(begin, full):
            out[0, i] = NAN
        if full == end:
            continue
        for i in range(full - widest + 1, end):
            before = ticks.close[i - 1]
            pressure[i - first] = ticks.close[i] - min(ticks.low[i], before)
            ranges[i - first] = true_range(ticks.high[i], ticks.low[i], before)
        pa = pb = pc = ra = rb = rc = 0
        for i in range(full - widest + 1, full):
            p, r = pressure[i - first], ranges[i - first]
            pa, ra = (pa + p, ra + r) if i > full - short else (pa, ra)
            pb, rb = (pb + p, rb + r) if i > full - medium else (pb, rb)
            pc, rc = (pc + p, rc + r) if i > full - long else (pc, rc)
        for i in range(full, end):
            p, r = pressure[i - first], ranges[i - first]
            pa, pb, pc, ra, rb, rc = pa + p, pb + p, pc + p, ra + r, rb + r, rc + r
            a = float(pa) / float(ra) if ra > 0 else 0.0
            b = float(pb) / float(rb) if rb > 0 else 0.0
            c = float(pc) / float(rc) if rc > 0 else 0.0
            out[0, i] = 100.0 * (4.0 * a + 2.0 * b + c) / 7.0
            pa, ra = pa - pressure[i - short + 1 - first], ra - ranges[i - short + 1 - first]
            pb, rb = pb - pressure[i - medium + 1 - first], rb - ranges[i - medium + 1 - first]
            pc, rc = pc - pressure[i - long + 1 - first], rc - ranges[i - long + 1 - first]


@kernel
def swing_high(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """The high `period` bars ago where no high of the `period` bars on either side is above it, else NaN."""
    high, period = columns.bars.high, int(params[4])
    for s in range(len(spans.first)):
        first, begin, end = spans.first[s], spans.begin[s], spans.end[s]
        full = min(max(first + 2 * period, begin), end)
        window_high(high, first, full, end, 2 * period + 1, scratch.a, scratch.rest)
        for i in range(begin, full):
            out[0, i] = NAN
        for i in range(full, end):
            out[0, i] = high[i - period] if high[i - period] == scratch.a[i - first] else NAN


@kernel
def swing_low(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """The low `period` bars ago where no low of the `period` bars on either side is below it, else NaN."""
    low, period = columns.bars.low, int(params[4])
    for s in range(len(spans.first)):
        first, begin, end = spans.first[s], spans.begin[s], spans.end[s]
        full = min(max(first + 2 * period, begin), end)
        window_low(low, first, full, end, 2 * period + 1, scratch.a, scratch.rest)
        for i in range(begin, full):
            out[0, i] = NAN
        for i in range(full, end):
            out[0, i] = low[i - period] if low[i - period] == scratch.a[i - first] else NAN


@kernel
def pivot_points(
    spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64
) -> None:
    """pp, r1, r2, r3, s1, s2, s3 of the last session that had bars; state: 1, its high, low and close."""
    bars = columns.bars
    for s in range(len(spans.first)):
        begin, end = spans.begin[s], spans.end[s]
        high, low, close = state[s, 1], state[s, 2], state[s, 3]
        if state[s, 0] == 0.0:
            high = low = close = NAN
        pivot = (high + low + close) / 3.0
        for i in range(begin, end):
            out[0, i] = pivot
            out[1, i], out[2, i], out[3, i] = 2.0 * pivot - low, pivot + (high - low), high + 2.0 * (pivot - low)
            out[4, i], out[5, i], out[6, i] = 2.0 * pivot - high, pivot - (high - low), low - 2.0 * (high - pivot)
        if begin < end:
            high, low = -INFINITY, INFINITY
            for i in range(begin, end):
                high, low = max(high, bars.high[i]), min(low, bars.low[i])
            state[s, 0], state[s, 1], state[s, 2], state[s, 3] = 1.0, high, low, bars.close[end - 1]


@kernel
def opening_range(
    spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64
) -> None:
    """Highest high and lowest low of the first `minutes`, on bars known when those are over; NaN until then."""
    bars, elapsed, limit = columns.bars, columns.elapsed, int(params[4]) * 60000000
    for s in range(len(spans.first)):
        high, low, rows = -INFINITY, INFINITY, 0
        for i in range(spans.begin[s], spans.end[s]):
            if 0 < elapsed[i] <= limit:
                high, low, rows = max(high, bars.high[i]), min(low, bars.low[i]), rows + 1
            is_over = elapsed[i] >= limit and rows > 0
            out[0, i] = high if is_over else NAN
            out[1, i] = low if is_over else NAN
