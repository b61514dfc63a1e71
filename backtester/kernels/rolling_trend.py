"""Recursions: exponential and Wilder averages, and the indicators built of them, in ticks.

Each carries its averages in its state, so a session goes on where the last one stopped, bit for bit. Averages begin as
the mean of their first values; x equal to the average leaves it unchanged. The arguments are those of
`rolling_averages`.
"""

from __future__ import annotations

from backtester.arrays import Columns, Float64, Scratch, Spans
from backtester.kernels.jit import kernel
from backtester.kernels.rolling import NAN, seeded, true_range


@kernel
def ema(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """Exponential average, share 2 / (period + 1); state: values seen up to period, average (their sum before)."""
    x, scale, period = columns.ticks.x, params[0], int(params[4])
    share = 2.0 / (period + 1.0)
    for s in range(len(spans.first)):
        begin, end = spans.begin[s], spans.end[s]
        seen, average = int(state[s, 0]), state[s, 1]
        warm = min(max(begin, begin + period - seen), end)
        for i in range(begin, warm):
            average = seeded(float(seen), average, float(x[i]), period, share)
            seen += 1
            out[0, i] = average / scale if seen == period else NAN
        for i in range(warm, end):
            average += (float(x[i]) - average) * share
            out[0, i] = average / scale
        state[s, 0], state[s, 1] = float(seen), average


@kernel
def dema(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """2 e1 - e2, e2 the EMA of e1; state: values seen and average, twice."""
    x, scale, period = columns.ticks.x, params[0], float(int(params[4]))
    share, whole = 2.0 / (period + 1.0), int(params[4])
    for s in range(len(spans.first)):
        n1, e1, n2, e2 = state[s, 0], state[s, 1], state[s, 2], state[s, 3]
        for i in range(spans.begin[s], spans.end[s]):
            e1 = seeded(n1, e1, float(x[i]), whole, share)
            n1 = min(n1 + 1.0, period)
            if n1 == period:
                e2 = seeded(n2, e2, e1, whole, share)
                n2 = min(n2 + 1.0, period)
            out[0, i] = (2.0 * e1 - e2) / scale if n2 == period else NAN
        state[s, 0], state[s, 1], state[s, 2], state[s, 3] = n1, e1, n2, e2


@kernel
def tema(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """3 e1 - 3 e2 + e3, each the EMA of the one before; state: values seen and average, three times."""
    x, scale, period = columns.ticks.x, params[0], float(int(params[4]))
    share, whole = 2.0 / (period + 1.0), int(params[4])
    for s in range(len(spans.first)):
        n1, e1, n2, e2, n3, e3 = state[s, 0], state[s, 1], state[s, 2], state[s, 3], state[s, 4], state[s, 5]
        for i in range(spans.begin[s], spans.end[s]):
            e1 = seeded(n1, e1, float(x[i]), whole, share)
            n1 = min(n1 + 1.0, period)
            if n1 == period:
                e2 = seeded(n2, e2, e1, whole, share)
                n2 = min(n2 + 1.0, period)
            if n2 == period:
                e3 = seeded(n3, e3, e2, whole, share)
                n3 = min(n3 + 1.0, period)
            out[0, i] = (3.0 * (e1 - e2) + e3) / scale if n3 == period else NAN
        state[s, 0], state[s, 1], state[s, 2], state[s, 3], state[s, 4], state[s, 5] = n1, e1, n2, e2, n3, e3


@kernel
def macd(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """EMA(fast) - EMA(slow), its EMA(signal), and the difference; state: values seen and average of the three."""
    x, scale = columns.ticks.x, params[0]
    fast, slow, signal = int(params[4]), int(params[5]), int(params[6])
    fast_share, slow_share, signal_share = 2.0 / (fast + 1.0), 2.0 / (slow + 1.0), 2.0 / (signal + 1.0)
    for s in range(len(spans.first)):
        seen, told, quick, slowly, smooth = state[s, 0], state[s, 1], state[s, 2], state[s, 3], state[s, 4]
        for i in range(spans.begin[s], spans.end[s]):
            quick = seeded(seen, quick, float(x[i]), fast, fast_share)
            slowly = seeded(seen, slowly, float(x[i]), slow, slow_share)
            seen = min(seen + 1.0, float(max(fast, slow)))
            line = quick - slowly
            is_known = seen >= fast and seen >= slow
            if is_known:
                smooth = seeded(told, smooth, line, signal, signal_share)
                told = min(told + 1.0, float(signal))
            out[0, i] = line / scale if is_known else NAN
            out[1, i] = smooth / scale if told >= signal else NAN
            out[2, i] = (line - smooth) / scale if told >= signal else NAN
        state[s, 0], state[s, 1], state[s, 2], state[s, 3], state[s, 4] = seen, told, quick, slowly, smooth


@kernel
def rsi(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """100 gains / (gains + losses) of the changes, 50 without any; state: changes seen, average gain and loss.

    Wilder's averages move 1 / period of the way; Cutler's are means of the last `period` changes, whole numbers.
    """
    x, period, is_cutler = columns.ticks.x, int(params[4]), params[5] == 1.0
    share = 1.0 / period
    for s in range(len(spans.first)):
        first, begin, end = spans.first[s], spans.begin[s], spans.end[s]
        if is_cutler:
            full = min(max(first + period, begin), end)
            gains = losses = 0
            for i in range(max(first, full - period) + 1, full):
                gains, losses = gains + max(x[i] - x[i - 1], 0), losses + max(x[i - 1] - x[i], 0)
            for i in range(begin, full):
                out[0, i] = NAN
            for i in range(full, end):
                gains, losses = gains + max(x[i] - x[i - 1], 0), losses + max(x[i - 1] - x[i], 0)
                out[0, i] = 100.0 * float(gains) / float(gains + losses) if gains + losses > 0 else 50.0
                change = x[i - period + 1] - x[i - period]
                gains, losses = gains - max(change, 0), losses - max(-change, 0)
            continue
        seen, up, down = state[s, 0], state[s, 1], state[s, 2]
        if begin == first and begin < end:
            out[0, begin] = NAN
        for i in range(max(begin, first + 1), end):
            change = x[i] - x[i - 1]
            up = seeded(seen, up, float(max(change, 0)), period, share)
            down = seeded(seen, down, float(max(-change, 0)), period, share)
            seen = min(seen + 1.0, float(period))
            total = up + down
            out[0, i] = (100.0 * up / total if total > 0.0 else 50.0) if seen >= period else NAN
        state[s, 0], state[s, 1], state[s, 2] = seen, up, down


@kernel
def ranges(s: int, spans: Spans, columns: Columns, period: int, is_simple: bool, state: Float64, into: Float64) -> None:
    """into[i - first] = ATR in ticks of symbol s; state: ranges seen, average. NaN until `period` ranges are known."""
    ticks, first, begin, end = columns.ticks, spans.first[s], spans.begin[s], spans.end[s]
    high, low, close, share = ticks.high, ticks.low, ticks.close, 1.0 / period
    if is_simple:
        full = min(max(first + period, begin), end)
        total = 0
        for i in range(max(first, full - period) + 1, full):
            total += true_range(high[i], low[i], close[i - 1])
        for i in range(begin, full):
            into[i - first] = NAN
        for i in range(full, end):
            total += true_range(high[i], low[i], close[i - 1])
            into[i - first] = float(total) / period
            k = i - period + 1
            total -= true_range(high[k], low[k], close[k - 1])
        return
    seen, average = state[s, 0], state[s, 1]
    if begin == first and begin < end:
        into[0] = NAN
    for i in range(max(begin, first + 1), end):
        average = seeded(seen, average, float(true_range(high[i], low[i], close[i - 1])), period, share)
        seen = min(seen + 1.0, float(period))
        into[i - first] = average if seen >= period else NAN
    state[s, 0], state[s, 1] = seen, average


@kernel
def atr(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """Average true range; the first bar of a series has none."""
    scale, period, is_simple = params[1], int(params[4]), params[5] == 1.0
    for s in range(len(spans.first)):
        ranges(s, spans, columns, period, is_simple, state, scratch.a)
        first = spans.first[s]
        for i in range(spans.begin[s], spans.end[s]):
            out[0, i] = scratch.a[i - first] / scale


@kernel
def natr(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """100 ATR / close."""
    close, period, is_simple = columns.ticks.close, int(params[4]), params[5] == 1.0
    for s in range(len(spans.first)):
        ranges(s, spans, columns, period, is_simple, state, scratch.a)
        first = spans.first[s]
        for i in range(spans.begin[s], spans.end[s]):
            out[0, i] = 100.0 * scratch.a[i - first] / float(close[i]) if close[i] != 0 else NAN


@kernel
def keltner(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """EMA(period) of the input and `multiplier` ATR(atr_period) around it; state: of the ATR, then of the EMA."""
    x, scale, parts, period = columns.ticks.x, params[1], params[0], int(params[4])
    width, atr_period, is_simple = params[5], int(params[6]), params[7] == 1.0
    share = 2.0 / (period + 1.0)
    for s in range(len(spans.first)):
        ranges(s, spans, columns, atr_period, is_simple, state, scratch.a)
        first, seen, average = spans.first[s], state[s, 2], state[s, 3]
        for i in range(spans.begin[s], spans.end[s]):
            average = seeded(seen, average, float(x[i]), period, share)
            seen = min(seen + 1.0, float(period))
            middle = average / parts if seen >= period else NAN
            spread = width * (scratch.a[i - first] / scale)
            out[0, i], out[1, i], out[2, i] = middle + spread, middle, middle - spread
        state[s, 2], state[s, 3] = seen, average


@kernel
def supertrend(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """The band the close has not crossed, and +1 below the close or -1 above it.

    state  of the ATR, then: bands begun, upper, lower, direction, each in ticks
    """
    ticks, scale, period, width = columns.ticks, params[1], int(params[4]), params[5]
    for s in range(len(spans.first)):
        ranges(s, spans, columns, period, False, state, scratch.a)
        first, begun = spans.first[s], state[s, 2]
        upper, lower, direction = state[s, 3], state[s, 4], state[s, 5]
        for i in range(spans.begin[s], spans.end[s]):
            spread = scratch.a[i - first]
            out[0, i] = out[1, i] = NAN
            if spread != spread:
                continue
            middle, close = float(ticks.high[i] + ticks.low[i]) / 2.0, float(ticks.close[i])
            top, bottom = middle + width * spread, middle - width * spread
            if begun == 0.0:
                upper, lower, direction, begun = top, bottom, 1.0, 1.0
            else:
                before = float(ticks.close[i - 1])
                top = top if top < upper or before > upper else upper
                bottom = bottom if bottom > lower or before < lower else lower
                is_below, is_above = close < bottom, close > top
                direction = -1.0 if (direction > 0.0 and is_below) or (direction < 0.0 and not is_above) else 1.0
                upper, lower = top, bottom
            out[0, i] = (lower if direction > 0.0 else upper) / scale
            out[1, i] = direction
        state[s, 2], state[s, 3], state[s, 4], state[s, 5] = begun, upper, lower, direction


@kernel
def adx(spans: Spans, columns: Columns, params: Float64, state: Float64, scratch: Scratch, out: Float64) -> None:
    """Wilder's ADX, +DI and -DI; state: changes seen, sums of +DM, -DM and true range, values of DX, ADX.

    Wilder's sums begin with period - 1 changes. A bar without any directional movement leaves ADX as it is.
    """
    ticks, period, count = columns.ticks, float(int(params[4])), int(params[4])
    for s in range(len(spans.first)):
        first, begin, end = spans.first[s], spans.begin[s], spans.end[s]
        seen, plus, minus, total = state[s, 0], state[s, 1], state[s, 2], state[s, 3]
        known, average = state[s, 4], state[s, 5]
        if begin == first and begin < end:
            out[0, begin] = out[1, begin] = out[2, begin] = NAN
        for i in range(max(begin, first + 1), end):
            up, down = ticks.high[i] - ticks.high[i - 1], ticks.low[i - 1] - ticks.low[i]
            rise = float(up) if up > down and up > 0 else 0.0
            fall = float(down) if down > up and down > 0 else 0.0
            width = float(true_range(ticks.high[i], ticks.low[i], ticks.close[i - 1]))
            if seen >= period - 1.0:
                plus, minus, total = plus - plus / count, minus - minus / count, total - total / count
            plus, minus, total = plus + rise, minus + fall, total + width
            seen = min(seen + 1.0, period)
            out[0, i] = out[1, i] = out[2, i] = NAN
            if seen < period:
                continue
            up_share = 100.0 * plus / total if total > 0.0 else 0.0
            down_share = 100.0 * minus / total if total > 0.0 else 0.0
            both = up_share + down_share
            if both > 0.0:
                strength = 100.0 * abs(up_share - down_share) / both
                average = average + strength if known < period else (average * (period - 1.0) + strength) / count
            known += 1.0 if known <= period else 0.0
            if known == period:
                average = average / count
            out[0, i] = average if known >= period else NAN
            out[1, i], out[2, i] = up_share, down_share
        state[s, 0], state[s, 1], state[s, 2], state[s, 3] = seen, plus, minus, total
        state[s, 4], state[s, 5] = known, average
