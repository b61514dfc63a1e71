"""Volume, changes and session-to-date averages. The arguments are those of `rolling_averages`."""

from __future__ import annotations

from backtester.arrays import Columns, Float64, Scratch, Spans
from backtester.kernels.jit import kernel
from backtester.kernels.rolling import HALF, NAN, window_sum


@kernel
def volume_ratio(
    spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64
) -> None:
    """Volume over the mean volume of the last `period`, this bar included; NaN where there was none."""
    x, period = columns.ticks.volume, int(params[4])
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
            out[0, i] = float(x[i]) * period / float(total) if total > 0 else NAN
            total -= x[i - period + 1]


@kernel
def obv(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """Volume added where the close rises and taken where it falls, from 0; state: the sum / 2^32 and the remainder."""
    close, volume, scale = columns.ticks.close, columns.ticks.volume, params[2]
    for s in range(len(spans.first)):
        first, begin, end = spans.first[s], spans.begin[s], spans.end[s]
        total = int(state[s, 0]) * HALF + int(state[s, 1])
        if begin == first and begin < end:
            out[0, begin] = 0.0
        for i in range(max(begin, first + 1), end):
            change = close[i] - close[i - 1]
            total += volume[i] if change > 0 else (-volume[i] if change < 0 else 0)
            out[0, i] = float(total) / scale
        state[s, 0], state[s, 1] = float(total >> 32), float(total & 4294967295)


@kernel
def pvt(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """Sum of volume x change / close before, from 0; state: the sum. A close of 0 before adds nothing."""
    close, volume = columns.ticks.close, columns.bars.volume
    for s in range(len(spans.first)):
        first, begin, end = spans.first[s], spans.begin[s], spans.end[s]
        total = state[s, 0]
        if begin == first and begin < end:
            out[0, begin] = total
        for i in range(max(begin, first + 1), end):
            before = close[i - 1]
            total += volume[i] * (float(close[i] - before) / float(before)) if before != 0 else 0.0
            out[0, i] = total
        state[s, 0] = total


@kernel
def mfi(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """100 x money of rising typical prices / money of changing ones, last `period` changes; 50 without any.

    state  rows seen, mod period
    """
    ticks, volume, period, scale = columns.ticks, columns.bars.volume, int(params[4]), 3.0 * params[1]
    for s in range(len(spans.first)):
        first, begin, end = spans.first[s], spans.begin[s], spans.end[s]
        full = min(max(first + period, begin), end)
        start = max(first, full - period)
        for i in range(start + 1, end):
            typical = ticks.high[i] + ticks.low[i] + ticks.close[i]
            change = typical - (ticks.high[i - 1] + ticks.low[i - 1] + ticks.close[i - 1])
            money = float(typical) / scale * volume[i]
            scratch.a[i - first] = money if change > 0 else 0.0
            scratch.b[i - first] = money if change < 0 else 0.0
        phase = begin - int(state[s, 0])
        for i in range(begin, full):
            out[0, i] = NAN
        window_sum(scratch.a, first, start + 1, full, end, period, phase, scratch.c, scratch.rest)
        window_sum(scratch.b, first, start + 1, full, end, period, phase, scratch.d, scratch.rest)
        for i in range(full, end):
            total = scratch.c[i - first] + scratch.d[i - first]
            out[0, i] = 100.0 * scratch.c[i - first] / total if total > 0.0 else 50.0
        state[s, 0] = float((int(state[s, 0]) + end - begin) % period)


@kernel
def vwap(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """Typical price weighted by volume, since the open (period 0) or over the last `period`; NaN without volume.

    Since the open it is the pass's running_vwap, bit for bit. state: rows seen, mod period
    """
    bars, period = columns.bars, int(params[4])
    for s in range(len(spans.first)):
        first, begin, end = spans.first[s], spans.begin[s], spans.end[s]
        if period == 0:
            traded = volume = 0.0
            for i in range(begin, end):
                volume += bars.volume[i]
                traded += (bars.high[i] + bars.low[i] + bars.close[i]) / 3.0 * bars.volume[i]
                out[0, i] = traded / volume if volume > 0.0 else NAN
            continue
        full = min(max(first + period - 1, begin), end)
        start = max(first, full - period + 1)
        for i in range(start, end):
            scratch.a[i - first] = (bars.high[i] + bars.low[i] + bars.close[i]) / 3.0 * bars.volume[i]
            scratch.b[i - first] = bars.volume[i]
        phase = begin - int(state[s, 0])
        window_sum(scratch.a, first, start, full, end, period, phase, scratch.c, scratch.rest)
        window_sum(scratch.b, first, start, full, end, period, phase, scratch.d, scratch.rest)
        for i in range(begin, full):
            out[0, i] = NAN
        for i in range(full, end):
            total = scratch.d[i - first]
            out[0, i] = scratch.c[i - first] / total if total > 0.0 else NAN
        state[s, 0] = float((int(state[s, 0]) + end - begin) % period)


@kernel
def twap(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """Mean of the input since the open."""
    x, scale = columns.ticks.x, params[0]
    for s in range(len(spans.first)):
        total, begin = 0, spans.begin[s]
        for i in range(begin, spans.end[s]):
            total += x[i]
            out[0, i] = float(total) / (scale * (i - begin + 1))


@kernel
def mom(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """x less x `period` bars ago."""
    x, scale, period = columns.ticks.x, params[0], int(params[4])
    for s in range(len(spans.first)):
        begin, end = spans.begin[s], spans.end[s]
        full = min(max(spans.first[s] + period, begin), end)
        for i in range(begin, full):
            out[0, i] = NAN
        for i in range(full, end):
            out[0, i] = float(x[i] - x[i - period]) / scale


@kernel
def roc(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """100 (x / x `period` bars ago - 1), of whole ticks."""
    x, period = columns.ticks.x, int(params[4])
    for s in range(len(spans.first)):
        begin, end = spans.begin[s], spans.end[s]
        full = min(max(spans.first[s] + period, begin), end)
        for i in range(begin, full):
            out[0, i] = NAN
        for i in range(full, end):
            before = x[i - period]
            out[0, i] = 100.0 * float(x[i] - before) / float(before) if before != 0 else NAN
