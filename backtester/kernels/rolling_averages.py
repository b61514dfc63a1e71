"""Averages and spreads of windows, on whole ticks: the same window gives the same bits, whatever came before it.

Every kernel here takes (spans, columns, params, state, scratch, out): out is [outputs, rows]; params begins with the
scales of x, prices and volumes and the bars of a year, then come the indicator's own, in the catalog's order.
"""

from __future__ import annotations

from math import sqrt

from backtester.arrays import Columns, Float64, Scratch, Spans
from backtester.kernels.jit import kernel
from backtester.kernels.rolling import NAN, log_ratio, variance_term, window_sum


@kernel
def sma(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """Mean of the last `period`: one division of whole numbers, so equal windows have equal means."""
    x, period = columns.ticks.x, int(params[4])
    parts = params[0] * period
    for s in range(len(spans.first)):
        first, begin, end = spans.first[s], spans.begin[s], spans.end[s]
        full, total = min(max(first + period - 1, begin), end), 0
        for i in range(max(first, begin - period + 1), begin):
            total += x[i]
        for i in range(begin, full):
            total += x[i]
            out[0, i] = NAN
        for i in range(full, end):
            total += x[i]
            out[0, i] = float(total) / parts
            total -= x[i - period + 1]


@kernel
def wma(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """Mean of the last `period` with weights 1 to period, the latest the heaviest."""
    x, period = columns.ticks.x, int(params[4])
    parts = params[0] * (period * (period + 1) // 2)
    for s in range(len(spans.first)):
        first, begin, end = spans.first[s], spans.begin[s], spans.end[s]
        full = min(max(first + period - 1, begin), end)
        for i in range(begin, full):
            out[0, i] = NAN
        if full == end:
            continue
        total = weighted = 0
        for k in range(period - 1):
            total += x[full - period + 1 + k]
            weighted += (k + 1) * x[full - period + 1 + k]
        for i in range(full, end):
            total += x[i]
            weighted += period * x[i]
            out[0, i] = float(weighted) / parts
            weighted -= total
            total -= x[i - period + 1]


@kernel
def hma(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """WMA(2 WMA(period / 2) - WMA(period)) over the last floor(sqrt(period)); that one row by row."""
    x, long = columns.ticks.x, int(params[4])
    short, last = max(long // 2, 1), max(int(sqrt(float(long))), 1)
    weights = float(last * (last + 1) // 2) * params[0]
    short_parts, long_parts = float(short * (short + 1) // 2), float(long * (long + 1) // 2)
    raw = scratch.a
    for s in range(len(spans.first)):
        first, begin, end = spans.first[s], spans.begin[s], spans.end[s]
        whole = min(max(first + long - 1, begin - last + 1), end)
        full = min(max(first + long + last - 2, begin), end)
        for i in range(begin, full):
            out[0, i] = NAN
        if full == end:
            continue
        total = weighted = short_total = short_weighted = 0
        for k in range(long - 1):
            total += x[whole - long + 1 + k]
            weighted += (k + 1) * x[whole - long + 1 + k]
        for k in range(short - 1):
            short_total += x[whole - short + 1 + k]
            short_weighted += (k + 1) * x[whole - short + 1 + k]
        for i in range(whole, end):
            total += x[i]
            short_total += x[i]
            weighted += long * x[i]
            short_weighted += short * x[i]
            raw[i - first] = 2.0 * (float(short_weighted) / short_parts) - float(weighted) / long_parts
            weighted -= total
            short_weighted -= short_total
            total -= x[i - long + 1]
            short_total -= x[i - short + 1]
        for i in range(full, end):
            smooth = 0.0
            for k in range(last):
                smooth += float(last - k) * raw[i - k - first]
            out[0, i] = smooth / weights


@kernel
def stddev(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """Population standard deviation of the last `period`."""
    period = int(params[4])
    for s in range(len(spans.first)):
        deviations(s, spans, columns, period, params[0], scratch)
        first = spans.first[s]
        for i in range(spans.begin[s], spans.end[s]):
            out[0, i] = scratch.b[i - first]


@kernel
def bbands(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """Mean of the last `period` and `width` standard deviations around it; bandwidth = (upper - lower) / middle."""
    period, width = int(params[4]), params[5]
    for s in range(len(spans.first)):
        deviations(s, spans, columns, period, params[0], scratch)
        first = spans.first[s]
        for i in range(spans.begin[s], spans.end[s]):
            middle, spread = scratch.a[i - first], width * scratch.b[i - first]
            out[0, i], out[1, i], out[2, i] = middle + spread, middle, middle - spread
            out[3, i] = 2.0 * spread / middle if middle != 0.0 else NAN


@kernel
def deviations(s: int, spans: Spans, columns: Columns, period: int, scale: float, scratch: Scratch) -> None:
    """scratch.a = mean and scratch.b = population deviation of the last `period` of symbol s, NaN before them."""
    x, first, begin, end = columns.ticks.x, spans.first[s], spans.begin[s], spans.end[s]
    full = min(max(first + period - 1, begin), end)
    for i in range(begin, full):
        scratch.a[i - first] = scratch.b[i - first] = NAN
    if full == end:
        return
    # Distances from any one of the prices: the variance is the same, and the whole numbers are small.
    origin, parts = x[first], scale * period
    total = hh = hl = ll = 0
    for i in range(full - period + 1, full):
        d = x[i] - origin
        h, low = d >> 20, d & 1048575
        total, hh, hl, ll = total + d, hh + h * h, hl + h * low, ll + low * low
    for i in range(full, end):
        d = x[i] - origin
        h, low = d >> 20, d & 1048575
        total, hh, hl, ll = total + d, hh + h * h, hl + h * low, ll + low * low
        scratch.a[i - first] = float(total + period * origin) / parts
        scratch.b[i - first] = sqrt(variance_term(hh, hl, ll, total, period)) / parts
        d = x[i - period + 1] - origin
        h, low = d >> 20, d & 1048575
        total, hh, hl, ll = total - d, hh - h * h, hl - h * low, ll - low * low


@kernel
def histvol(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """Population deviation of the last `period` log returns, x sqrt(bars a year) x 100; state: rows seen mod period."""
    x, period, factor = columns.ticks.x, int(params[4]), sqrt(params[3]) * 100.0
    returns, squares, sums, square_sums = scratch.a, scratch.b, scratch.c, scratch.d
    for s in range(len(spans.first)):
        first, begin, end = spans.first[s], spans.begin[s], spans.end[s]
        full = min(max(first + period, begin), end)
        start = max(first, full - period)
        returns[start - first] = squares[start - first] = 0.0
        for i in range(start + 1, end):
            change = log_ratio(float(x[i]), float(x[i - 1])) if x[i] > 0 and x[i - 1] > 0 else NAN
            returns[i - first], squares[i - first] = change, change * change
        phase = begin - int(state[s, 0])
        for i in range(begin, full):
            out[0, i] = NAN
        if full < end:
            # The first return is of row first + 1: a window must not reach the row before it.
            window_sum(returns, first, start + 1, full, end, period, phase, sums, scratch.rest)
            window_sum(squares, first, start + 1, full, end, period, phase, square_sums, scratch.rest)
        for i in range(full, end):
            mean = sums[i - first] / period
            variance = square_sums[i - first] / period - mean * mean
            out[0, i] = sqrt(max(variance, 0.0)) * factor
        state[s, 0] = float((int(state[s, 0]) + end - begin) % period)
