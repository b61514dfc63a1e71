"""The pass in slow plain Python, by the rules of docs/session-pass.md: what the kernel must equal bit for bit."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One source bar."""

    at: int
    symbol: str
    open: float
    high: float
    low: float
    close: float
    volume: float


def expected(segments, step):
    """The labels at which a bar is expected: one, the open, for daily bars."""
    if step == 86_400_000_000:
        return [segments[0][0]]
    return [start + k * step for start, end in segments for k in range((end - start) // step)]


def in_hours(at, segments):
    """True inside regular hours."""
    return any(start <= at < end for start, end in segments)


def running(rows):
    """(at, symbol, volume, high, low, vwap, bars) per row, in the rows' order; vwap None without volume."""
    state, out = {}, []
    for row in rows:
        volume, traded, high, low, bars = state.get(row.symbol, (0.0, 0.0, row.high, row.low, 0))
        volume += row.volume
        traded += (row.high + row.low + row.close) / 3.0 * row.volume
        high, low, bars = max(high, row.high), min(low, row.low), bars + 1
        state[row.symbol] = (volume, traded, high, low, bars)
        out.append((row.at, row.symbol, volume, high, low, traded / volume if volume > 0.0 else None, bars))
    return out


def window(at, segments, step):
    """(start, end) of the derived window a label falls in; `step` None for the whole session."""
    first, last = segments[0][0], segments[-1][1]
    if step is None:
        return first, last
    if at < first:
        start = first - ((first - at + step - 1) // step) * step
        return start, start + step
    if at >= last:
        start = last + (at - last) // step * step
        return start, start + step
    spans = list(segments) + ([(segments[0][1], segments[1][0])] if len(segments) == 2 else [])
    for begin, end in spans:
        if begin <= at < end:
            start = begin + (at - begin) // step * step
            return start, min(start + step, end)
    raise AssertionError(at)


def known(end, segments, base):
    """When a window of extended hours is known: at its end, or when a source bar that begins before it is over."""
    at = segments[0][0]
    if end <= at:
        return end
    while at < end:
        at += base
    return at


def derived(rows, segments, base, step, over=None):
    """(start, symbol, open, high, low, close, volume, bars, expected_bars, is_partial, known_at), sorted.

    over  when the extended hours end; None for regular hours, where the close and the break cut source bars short
    """
    grouped = {}
    for row in rows:
        grouped.setdefault((window(row.at, segments, step), row.symbol), []).append(row)
    labels, out = expected(segments, base), []
    for ((start, end), symbol), members in sorted(grouped.items()):
        volume = 0.0
        for member in members:
            volume += member.volume
        due = sum(window(at, segments, step) == (start, end) for at in labels)
        nominal = end - start if step is None else step
        known_at = end if over is None else known(over if step is None else end, segments, base)
        high, low = max(m.high for m in members), min(m.low for m in members)
        shape = (members[0].open, high, low, members[-1].close, volume, len(members))
        out.append((start, symbol, *shape, due, end - start < nominal, known_at))
    return out


def gaps(rows, segments, base, symbols):
    """(first_missing, symbol, kind, last_missing, missing_bars), sorted."""
    labels, out = expected(segments, base), []
    for symbol in symbols:
        present = {row.at for row in rows if row.symbol == symbol}
        runs, last = [], None
        for k, at in enumerate(labels):
            if at in present:
                last = None
            elif last is None:
                runs.append([k, k])
                last = runs[-1]
            else:
                last[1] = k
        for first, end in runs:
            kind = "opening" if first == 0 else "closing" if end == len(labels) - 1 else "inside"
            out.append((labels[first], symbol, kind, labels[end], end - first + 1))
    return sorted(out)
