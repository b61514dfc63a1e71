"""Steps the rolling kernels share: extremes and sums of windows, seeded averages, a logarithm of + - * / alone.

A symbol's rows are first to end - 1: rows carried from before up to begin - 1, then the session's. A window is the last
`period` rows up to row i. Extremes and float sums work in blocks of `period` rows: the rest of the block before, summed
from its end back, and this block, summed from its start on, make up every window. That is three steps a row whatever
the period, without a branch that guesses wrong, and nothing is ever subtracted, so a window knows nothing of the rows
before it. (A monotonic queue costs the same steps and a mispredicted branch a row: 9 ns against 3.)
"""

from __future__ import annotations

from backtester.arrays import Float64, Int64
from backtester.kernels.jit import kernel

NAN = float("nan")
INFINITY = float("inf")
LIMB = 1048576  # 2^20
HALF = 4294967296  # 2^32


@kernel
def window_high(x: Int64 | Float64, first: int, lo: int, end: int, period: int, into: Float64, rest: Float64) -> None:
    """into[i - first] = the highest of the window of row i, for rows lo to end - 1; rows before `first` are none."""
    start = max(first, lo - period + 1)
    rest[period] = -INFINITY
    block = start
    while block < end:
        stop = min(block + period, end)
        high = -INFINITY
        for i in range(block, stop):
            value = float(x[i])
            high = value if value > high else high
            into[i - first] = high
        if block > start:
            high = -INFINITY
            for k in range(period):
                value = float(x[block - 1 - k])
                high = value if value > high else high
                rest[period - 1 - k] = high
            for i in range(block, stop):
                high = rest[i - block + 1]
                into[i - first] = high if high > into[i - first] else into[i - first]
        block += period


@kernel
def window_low(x: Int64 | Float64, first: int, lo: int, end: int, period: int, into: Float64, rest: Float64) -> None:
    """The lowest, as `window_high`."""
    start = max(first, lo - period + 1)
    rest[period] = INFINITY
    block = start
    while block < end:
        stop = min(block + period, end)
        low = INFINITY
        for i in range(block, stop):
            value = float(x[i])
            low = value if value < low else low
            into[i - first] = low
        if block > start:
            low = INFINITY
            for k in range(period):
                value = float(x[block - 1 - k])
                low = value if value < low else low
                rest[period - 1 - k] = low
            for i in range(block, stop):
                low = rest[i - block + 1]
                into[i - first] = low if low < into[i - first] else into[i - first]
        block += period


@kernel
def window_sum(
    x: Float64, origin: int, first: int, lo: int, end: int, period: int, phase: int, into: Float64, rest: Float64
) -> None:
    """into[i - origin] = the sum of x[j - origin] over the window of row i, for rows lo to end - 1.

    Blocks begin at rows that lie a multiple of `period` from row `phase`, so that a session's rows are added in the
    same order whether their predecessors were carried or computed just now. Up to four are added one by one.
    """
    start = max(first, lo - period + 1)
    if period <= 4:
        for i in range(lo, end):
            total = 0.0
            for k in range(max(first, i - period + 1), i + 1):
                total += x[k - origin]
            into[i - origin] = total
        return
    block = lo - (lo - phase) % period
    rest[period] = 0.0
    while block < end:
        stop = min(block + period, end)
        total = 0.0
        for i in range(max(block, start), stop):
            total += x[i - origin]
            into[i - origin] = total
        if block > start:
            total = 0.0
            rows = min(period, block - start)
            for k in range(rows):
                total += x[block - 1 - k - origin]
                rest[period - 1 - k] = total
            for k in range(period - rows):
                rest[k] = total
            for i in range(max(block, lo), stop):
                into[i - origin] += rest[i - block + 1]
        block += period


@kernel
def seeded(count: float, value: float, x: float, period: int, share: float) -> float:
    """The next value of an average that begins as the mean of `period` numbers and then moves `share` of the way.

    Until then `value` is their sum. A number equal to the average leaves it as it is, bit for bit.
    """
    if count >= period:
        return value + (x - value) * share
    if count + 1.0 < period:
        return value + x
    return (value + x) / period


@kernel
def variance_term(ahh: int, ahl: int, all_: int, total: int, period: int) -> float:
    """period^2 x the variance, from sums of d's limbs, d = h 2^20 + l: of h h, h l, l l and d; rounded once.

    |d| < 2^40 and period <= 2000 keep every whole number below 2^63: period^2 2^40 < 2^62.
    """
    h, low = total >> 20, total & 1048575
    p = period * ahh - h * h
    q = 2 * (period * ahl - h * low)
    r = period * all_ - low * low
    q += r >> 20
    r = r & 1048575
    p += q >> 20
    q = q & 1048575
    return float(p) * 1099511627776.0 + float(q * 1048576 + r)


@kernel
def log_ratio(up: float, down: float) -> float:
    """ln(up / down) to 2 units in the last place, by the series of artanh; + - * / give the same bits on any CPU."""
    halvings = 0
    while up > 1.5 * down:
        up *= 0.5
        halvings += 1
    while down > 1.5 * up:
        down *= 0.5
        halvings -= 1
    s = (up - down) / (up + down)
    square = s * s
    series = 1.0 / 25.0
    for k in range(12):
        series = series * square + 1.0 / (23.0 - 2.0 * k)
    return 2.0 * s * series + 0.6931471805599453 * halvings


@kernel
def true_range(high: int, low: int, before: int) -> int:
    """From the lower of low and the close before to the higher of high and it."""
    return max(high, before) - min(low, before)
