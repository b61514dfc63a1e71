"""Every session indicator in slow plain Python, from docs/indicators.md alone: sixty-digit decimals, a list at a time.

A twin takes one symbol's bars of one stretch (a session, or several where the scope is continuous) and gives a list
of tuples, one a bar, one number an output, None where there is no value. It imports nothing of the project.
"""

from __future__ import annotations

from decimal import Decimal, getcontext
from itertools import pairwise
from typing import NamedTuple

getcontext().prec = 60


class Bar(NamedTuple):
    """One bar; `session` counts a stretch's sessions, `elapsed` is microseconds from its open until it is known."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    session: int = 0
    elapsed: int = 60_000_000


def chosen(bars, name):
    """The chosen input of each bar."""
    if name in Bar._fields:
        return [getattr(bar, name) for bar in bars]
    parts = {"median": "high low", "typical": "high low close", "weighted": "high low close close"}
    names = parts.get(name, "open high low close").split()
    return [sum(getattr(bar, part) for part in names) / len(names) for bar in bars]


def windows(values, count):
    return [values[i - count + 1 : i + 1] if i + 1 >= count else None for i in range(len(values))]


def mean(values):
    return sum(values) / len(values)


def over_windows(values, count, rule):
    return [None if window is None else rule(window) for window in windows(values, count)]


def deviation(values):
    middle = mean(values)
    return (sum((value - middle) ** 2 for value in values) / len(values)).sqrt()


def weighted(values):
    weights = range(1, len(values) + 1)
    return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)


def smoothed(values, count, share):
    """The mean of the first `count` values, then `share` of the way to each; values that are None come before it."""
    out, first, average = [], [], None
    for value in values:
        if value is not None and average is not None:
            average = average + (value - average) * share
        elif value is not None:
            first.append(value)
            average = mean(first) if len(first) == count else None
        out.append(average)
    return out


def exponential(values, count):
    return smoothed(values, count, Decimal(2) / (count + 1))


def wilder(values, count):
    return smoothed(values, count, Decimal(1) / count)


def changes(values):
    return [None, *(b - a for a, b in pairwise(values))][: len(values)]


def together(*columns):
    return list(zip(*columns, strict=True))


def alone(values):
    return [(value,) for value in values]


def true_ranges(bars):
    before = [None, *(bar.close for bar in bars)]
    return [
        None if c is None else max(bar.high - bar.low, abs(bar.high - c), abs(bar.low - c))
        for bar, c in zip(bars, before, strict=False)
    ]


def simple(values, count):
    """Means of windows in which every value is known."""
    return [None if window is None or None in window else mean(window) for window in windows(values, count)]


def sma(bars, p, x):
    return alone(over_windows(x, p["period"], mean))


def wma(bars, p, x):
    return alone(over_windows(x, p["period"], weighted))


def ema(bars, p, x):
    return alone(exponential(x, p["period"]))


def dema(bars, p, x):
    one = exponential(x, p["period"])
    two = exponential(one, p["period"])
    return alone([None if b is None else 2 * a - b for a, b in zip(one, two, strict=True)])


def tema(bars, p, x):
    one = exponential(x, p["period"])
    two = exponential(one, p["period"])
    three = exponential(two, p["period"])
    return alone([None if c is None else 3 * a - 3 * b + c for a, b, c in zip(one, two, three, strict=True)])


def hma(bars, p, x):
    long, short, last = p["period"], max(p["period"] // 2, 1), int(p["period"] ** 0.5)
    a, b = over_windows(x, short, weighted), over_windows(x, long, weighted)
    raw = [None if v is None else 2 * u - v for u, v in zip(a, b, strict=True)]
    return alone([None if w is None or None in w else weighted(w) for w in windows(raw, last)])


def vwap(bars, p, x):
    out = []
    for i, bar in enumerate(bars):
        if p["period"]:
            part = bars[i - p["period"] + 1 : i + 1] if i + 1 >= p["period"] else []
        else:
            part = [other for other in bars[: i + 1] if other.session == bar.session]
        volume = sum(b.volume for b in part)
        traded = sum((b.high + b.low + b.close) / 3 * b.volume for b in part)
        out.append(traded / volume if volume else None)
    return alone(out)


def twap(bars, p, x):
    return alone([mean([x[k] for k in range(i + 1) if bars[k].session == bars[i].session]) for i in range(len(bars))])


def macd(bars, p, x):
    fast, slow = exponential(x, p["fast"]), exponential(x, p["slow"])
    line = [None if a is None or b is None else a - b for a, b in zip(fast, slow, strict=True)]
    signal = exponential(line, p["signal"])
    return together(line, signal, [None if s is None else a - s for a, s in zip(line, signal, strict=True)])


def adx(bars, p, x):
    count, out = p["period"], [(None, None, None)]
    plus = minus = total = Decimal(0)
    strengths, average, ranges = [], None, true_ranges(bars)
    for i in range(1, len(bars)):
        up, down = bars[i].high - bars[i - 1].high, bars[i - 1].low - bars[i].low
        rise = up if up > down and up > 0 else 0
        fall = down if down > up and down > 0 else 0
        if i < count:
            plus, minus, total = plus + rise, minus + fall, total + ranges[i]
            out.append((None, None, None))
            continue
        plus, minus = plus - plus / count + rise, minus - minus / count + fall
        total = total - total / count + ranges[i]
        a, b = (100 * plus / total, 100 * minus / total) if total else (Decimal(0), Decimal(0))
        if len(strengths) < count:
            strengths.append(100 * abs(a - b) / (a + b) if a + b else Decimal(0))
            average = mean(strengths) if len(strengths) == count else None
        elif a + b:
            average = (average * (count - 1) + 100 * abs(a - b) / (a + b)) / count
        out.append((average, a, b))
    return out[: len(bars)]


def supertrend(bars, p, x):
    spread = wilder(true_ranges(bars), p["period"])
    out, upper, lower, direction = [], None, None, 1
    for i, bar in enumerate(bars):
        if spread[i] is None:
            out.append((None, None))
            continue
        width, middle = Decimal(repr(p["multiplier"])) * spread[i], (bar.high + bar.low) / 2
        top, bottom = middle + width, middle - width
        if upper is not None:
            before = bars[i - 1].close
            top = top if top < upper or before > upper else upper
            bottom = bottom if bottom > lower or before < lower else lower
            direction = (-1 if bar.close < bottom else 1) if direction == 1 else (1 if bar.close > top else -1)
        upper, lower = top, bottom
        out.append((lower if direction == 1 else upper, Decimal(direction)))
    return out


def rsi(bars, p, x):
    gains = [None if m is None else max(m, Decimal(0)) for m in changes(x)]
    losses = [None if m is None else max(-m, Decimal(0)) for m in changes(x)]
    average = wilder if p["method"] == "wilder" else simple
    up, down = average(gains, p["period"]), average(losses, p["period"])
    return alone(
        [None if u is None else (100 * u / (u + d) if u + d else Decimal(50)) for u, d in zip(up, down, strict=True)]
    )


def place(high, low, close, flat):
    return (close - low) / (high - low) if high > low else flat


def spans(bars, count):
    """(highest high, lowest low) of each window."""
    return over_windows(bars, count, lambda part: (max(b.high for b in part), min(b.low for b in part)))


def stochastic(bars, p, x):
    half = Decimal("0.5")
    raw = [
        None if span is None else 100 * place(*span, bar.close, half)
        for span, bar in zip(spans(bars, p["period"]), bars, strict=True)
    ]
    k = simple(raw, p["k_smooth"]) if p["method"] == "slow" else raw
    return together(k, simple(k, p["smooth"]))


def williams_r(bars, p, x):
    out = []
    for span, bar in zip(spans(bars, p["period"]), bars, strict=True):
        out.append(None if span is None else 100 * (place(*span, bar.close, Decimal("0.5")) - 1))
    return alone(out)


def cci(bars, p, x):
    def rule(part):
        middle = mean(part)
        spread = mean([abs(value - middle) for value in part])
        return (part[-1] - middle) / (Decimal("0.015") * spread) if spread else Decimal(0)

    return alone(over_windows(chosen(bars, "typical"), p["period"], rule))


def roc(bars, p, x):
    n = p["period"]
    out = [None if i < n or not x[i - n] else 100 * (x[i] / x[i - n] - 1) for i in range(len(x))]
    return alone(out)


def mom(bars, p, x):
    return alone([None if i < p["period"] else x[i] - x[i - p["period"]] for i in range(len(x))])


def ultimate_osc(bars, p, x):
    lengths = p["short"], p["medium"], p["long"]
    ranges, out = true_ranges(bars), []
    for i in range(len(bars)):
        if i < max(lengths):
            out.append(None)
            continue
        total = Decimal(0)
        for weight, length in zip((4, 2, 1), lengths, strict=True):
            rows = range(i - length + 1, i + 1)
            pressure = sum(bars[k].close - min(bars[k].low, bars[k - 1].close) for k in rows)
            span = sum(ranges[k] for k in rows)
            total += weight * (pressure / span if span else 0)
        out.append(100 * total / 7)
    return alone(out)


def average_range(bars, p, name="period"):
    return (simple if p["method"] == "simple" else wilder)(true_ranges(bars), p[name])


def atr(bars, p, x):
    return alone(average_range(bars, p))


def natr(bars, p, x):
    return alone([None if a is None else 100 * a / b.close for a, b in zip(average_range(bars, p), bars, strict=True)])


def bbands(bars, p, x):
    out = []
    for part in windows(x, p["period"]):
        if part is None:
            out.append((None,) * 4)
            continue
        middle, spread = mean(part), Decimal(repr(p["width"])) * deviation(part)
        out.append((middle + spread, middle, middle - spread, 2 * spread / middle))
    return out


def keltner(bars, p, x):
    out, width = [], Decimal(repr(p["multiplier"]))
    for m, a in zip(exponential(x, p["period"]), average_range(bars, p, "atr_period"), strict=True):
        out.append((None if m is None or a is None else m + width * a, m, None if None in (m, a) else m - width * a))
    return out


def donchian(bars, p, x):
    return [(None, None, None) if s is None else (s[0], mean(s), s[1]) for s in spans(bars, p["period"])]


def high_low(bars, p, x):
    return [(None, None) if s is None else s for s in spans(bars, p["period"])]


def stddev(bars, p, x):
    return alone(over_windows(x, p["period"], deviation))


def histvol(bars, p, x):
    logs = [None, *((b / a).ln() for a, b in pairwise(x))][: len(x)]
    factor = 100 * Decimal(p["bars_a_year"]).sqrt()
    return alone([None if w is None or None in w else factor * deviation(w) for w in windows(logs, p["period"])])


def obv(bars, p, x):
    total, out = Decimal(0), []
    for i, bar in enumerate(bars):
        if i and bar.close != bars[i - 1].close:
            total += bar.volume if bar.close > bars[i - 1].close else -bar.volume
        out.append(total)
    return alone(out)


def pvt(bars, p, x):
    total, out = Decimal(0), []
    for i, bar in enumerate(bars):
        if i and bars[i - 1].close:
            total += bar.volume * (bar.close - bars[i - 1].close) / bars[i - 1].close
        out.append(total)
    return alone(out)


def mfi(bars, p, x):
    typical, n, out = chosen(bars, "typical"), p["period"], []
    for i in range(len(bars)):
        if i < n:
            out.append(None)
            continue
        rows = range(i - n + 1, i + 1)
        up = sum(typical[k] * bars[k].volume for k in rows if typical[k] > typical[k - 1])
        down = sum(typical[k] * bars[k].volume for k in rows if typical[k] < typical[k - 1])
        out.append(100 * up / (up + down) if up + down else Decimal(50))
    return alone(out)


def volume_ratio(bars, p, x):
    volumes = [bar.volume for bar in bars]
    return alone([None if m is None or not sum(m) else m[-1] / mean(m) for m in windows(volumes, p["period"])])


def swing(values, n, best):
    out = []
    for i in range(len(values)):
        part = values[i - 2 * n : i + 1] if i >= 2 * n else None
        out.append(part[n] if part is not None and part[n] == best(part) else None)
    return alone(out)


def pivot_points(bars, p, x):
    out = []
    for bar in bars:
        past = [b.session for b in bars if b.session < bar.session]
        part = [b for b in bars if past and b.session == max(past)]
        if not part:
            out.append((None,) * 7)
            continue
        high, low, close = max(b.high for b in part), min(b.low for b in part), part[-1].close
        pp = (high + low + close) / 3
        up = (2 * pp - low, pp + high - low, high + 2 * (pp - low))
        out.append((pp, *up, 2 * pp - high, pp - (high - low), low - 2 * (high - pp)))
    return out


def opening_range(bars, p, x):
    limit, out = p["minutes"] * 60_000_000, []
    for bar in bars:
        part = [b for b in bars if b.session == bar.session and 0 < b.elapsed <= limit]
        is_known = bar.elapsed >= limit and part
        out.append((max(b.high for b in part), min(b.low for b in part)) if is_known else (None, None))
    return out


TWINS = {
    name: twin
    for name, twin in list(globals().items())
    if getattr(twin, "__annotations__", None) == {} and twin.__code__.co_varnames[:3] == ("bars", "p", "x")
}
TWINS["volume_sma"] = lambda bars, p, x: sma(bars, p, [bar.volume for bar in bars])
TWINS["swing_high"] = lambda bars, p, x: swing([bar.high for bar in bars], p["period"], max)
TWINS["swing_low"] = lambda bars, p, x: swing([bar.low for bar in bars], p["period"], min)
