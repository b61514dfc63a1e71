"""Historical indicators in slow plain Python, by the rules of docs/history.md: every window walked day by day."""

from __future__ import annotations

import datetime as dt
import itertools
import math

STEP = 60_000_000


def merge(rows):
    """One bar (open, high, low, close, volume) of rows in time order, None of none."""
    if not rows:
        return None
    volume = 0.0
    for row in rows:
        volume += row.volume
    return rows[0].open, max(r.high for r in rows), min(r.low for r in rows), rows[-1].close, volume


def regular(session, rows):
    """The rows inside regular hours."""
    return [row for row in rows if any(start <= row.at < end for start, end in session.segments)]


def slots(session, step):
    """(start, end) of every slot, each side of a break by itself."""
    return [(at, min(at + step, end)) for start, end in session.segments for at in range(start, end, step)]


def before(calendar, day):
    """Sessions before `day`, latest first: a calendar day at a time."""
    known = {session.date: session for session in calendar.sessions(calendar.first, calendar.last)}
    while day > calendar.first:
        day -= dt.timedelta(days=1)
        if day in known:
            yield known[day]


def window(use, calendar, day, rows):
    """The bars of a use's window, oldest first, None where there is none; rows: session date -> rows of a symbol."""
    wanted = use.window + (1 if use.name in ("atr_daily", "gap_stats") else 0)
    found = []
    if use.unit == "weeks":
        for back in range(use.window, 0, -1):
            dates = [day - dt.timedelta(days=7 * back - k) for k in range(7)]
            sessions = [s for s in before(calendar, day) if s.date in dates]
            held = [merge(regular(s, rows.get(s.date, []))) for s in reversed(sessions)]
            found.append(merge_bars([bar for bar in held if bar]))
        return found
    for session in before(calendar, day):
        held = regular(session, rows.get(session.date, []))
        if use.unit == "sessions" or use.interval.text == "1d":
            found.append(merge(held))
        else:
            for start, end in reversed(slots(session, use.interval.us)):
                found.append(merge([row for row in held if start <= row.at < end]))
        if len(found) >= wanted:
            break
    return found[:wanted][::-1]


def merge_bars(bars):
    """One bar of daily bars."""
    if not bars:
        return None
    volume = 0.0
    for bar in bars:
        volume += bar[4]
    return bars[0][0], max(b[1] for b in bars), min(b[2] for b in bars), bars[-1][3], volume


def average(values):
    """The mean, None of nothing."""
    return math.fsum(values) / len(values) if values else None


def value(use, bars):
    """({output: value}, used) of a window."""
    held = [bar for bar in bars if bar]
    pairs = [(a[3], b) for a, b in itertools.pairwise(bars) if a and b]
    if use.name == "avg_volume":
        return {"": average([bar[4] for bar in held])}, len(held)
    if use.name == "avg_range":
        return {"": average([bar[1] - bar[2] for bar in held])}, len(held)
    if use.name == "range_ratio":
        mean = average([bar[1] - bar[2] for bar in held])
        known = bars and bars[-1] and mean
        return {"": (bars[-1][1] - bars[-1][2]) / mean if known else None}, len(held)
    if use.name == "high_low":
        return {"high": max((b[1] for b in held), default=None), "low": min((b[2] for b in held), default=None)}, len(
            held
        )
    if use.name == "atr_daily":
        return {"": average([max(b[1] - b[2], abs(b[1] - c), abs(b[2] - c)) for c, b in pairs])}, len(pairs)
    cents = [round((b[0] - c) * 1e6) for c, b in pairs]
    limit = round(use.params["threshold"] * 1e6)
    counts = {
        "moves": sum(abs(c) > limit for c in cents),
        "up_moves": sum(c > 0 for c in cents),
        "down_moves": sum(c < 0 for c in cents),
    }
    out = {"avg_move": average([b[0] - c for c, b in pairs])}
    out["avg_move_frac"] = average([(b[0] - c) / c for c, b in pairs])
    return out | {name: float(count) if pairs else None for name, count in counts.items()}, len(pairs)


def profile(use, calendar, day, rows):
    """[(value, used)] by slot of the session of `day`."""
    sessions = []
    for session in before(calendar, day):
        sessions.append(session)
        if len(sessions) == use.window:
            break
    sessions = [s for s in reversed(sessions) if not (use.skip_early_close and s.is_early_close)]
    out = []
    for k, _ in enumerate(slots(calendar.session(day), use.interval.us)):
        values = []
        for session in sessions:
            own = slots(session, use.interval.us)
            held = regular(session, rows.get(session.date, []))
            if k >= len(own) or not held:
                continue
            sums = []
            for start, end in own:
                inside = [row for row in held if start <= row.at < end]
                sums.append((merge(inside)[4] if inside else 0.0, bool(inside)))
            if use.name == "cumulative_volume":
                total = 0.0
                for volume, _ in sums[: k + 1]:
                    total += volume
                values.append(total)
            elif sums[k][1] or use.missing == "zero":
                values.append(sums[k][0])
        total = 0.0
        for each in values:
            total += each
        known = len(values) == use.window if use.missing == "require" else values
        out.append((total / len(values) if known else None, len(values)))
    return out
