"""The pass: one reading of a session's columns gives running values, derived bars, gaps and the summary.

Rows are sorted by (label, symbol), so a label's rows are mostly runs of consecutive symbols. A run is worked column by
column in loops without a branch, which LLVM turns into vector code; where a run ends is found by halving, not by
looking at every row. Work on missing bars is done where they are missing, so a full session pays nothing for its gaps.
"""

from __future__ import annotations

from backtester.arrays import Bars, Derived, Forming, Gaps, Grid, Int32, Running, Totals, Windows
from backtester.kernels.jit import kernel, unsigned

NAN = float("nan")
INFINITY = float("inf")
# Below this many rows the columns' loops cost more to enter than the rows do (8 to 16 measured alike).
SHORT_RUN = 12


@kernel
def run_length(codes: Int32, first: int, end: int) -> int:
    """How many rows from `first` on hold consecutive codes; codes rise strictly up to `end`."""
    code = codes[first] - first
    if codes[end - 1] - (end - 1) == code:
        return end - first
    low, high = first, end - 1
    while high - low > 1:
        middle = (low + high) // 2
        if codes[middle] - middle == code:
            low = middle
        else:
            high = middle
    return high - first


@kernel
def running_run(label: int, row: int, code: int, rows: int, bars: Bars, totals: Totals, out: Running) -> None:
    """Session-to-date values of `rows` rows from `row` on, whose symbols are `code` and those after it."""
    i, c = unsigned(row), unsigned(code)
    for j in range(unsigned(rows)):
        high = bars.high[i + j]
        known = totals.high[c + j]
        known = high if high > known else known
        totals.high[c + j] = known
        out.high[i + j] = known
    for j in range(unsigned(rows)):
        low = bars.low[i + j]
        known = totals.low[c + j]
        known = low if low < known else known
        totals.low[c + j] = known
        out.low[i + j] = known
    for j in range(unsigned(rows)):
        known = totals.volume[c + j] + bars.volume[i + j]
        totals.volume[c + j] = known
        out.volume[i + j] = known
    for j in range(unsigned(rows)):
        typical = (bars.high[i + j] + bars.low[i + j] + bars.close[i + j]) / 3.0
        totals.traded[c + j] += typical * bars.volume[i + j]
    for j in range(unsigned(rows)):
        volume = totals.volume[c + j]
        out.vwap[i + j] = totals.traded[c + j] / volume if volume > 0.0 else NAN
    for j in range(unsigned(rows)):
        known = totals.bars[c + j]
        totals.open[c + j] = bars.open[i + j] if known == 0 else totals.open[c + j]
        totals.close[c + j] = bars.close[i + j]
    for j in range(unsigned(rows)):
        totals.first[c + j] = label if totals.bars[c + j] == 0 else totals.first[c + j]
    for j in range(unsigned(rows)):
        totals.last[c + j] = label
    for j in range(unsigned(rows)):
        known = totals.bars[c + j] + 1
        totals.bars[c + j] = known
        out.bars[i + j] = known


@kernel
def running_rows(label: int, row: int, code: int, rows: int, bars: Bars, totals: Totals, out: Running) -> None:
    """The same as `running_run`, row by row: for a few rows the columns' loops cost more than the rows."""
    for j in range(unsigned(rows)):
        i, c = unsigned(row) + j, unsigned(code) + j
        high, low, close, volume = bars.high[i], bars.low[i], bars.close[i], bars.volume[i]
        high_so_far, low_so_far = totals.high[c], totals.low[c]
        high_so_far = high if high > high_so_far else high_so_far
        low_so_far = low if low < low_so_far else low_so_far
        totals.high[c] = out.high[i] = high_so_far
        totals.low[c] = out.low[i] = low_so_far
        volume_so_far = totals.volume[c] + volume
        traded = totals.traded[c] + (high + low + close) / 3.0 * volume
        totals.volume[c] = out.volume[i] = volume_so_far
        totals.traded[c] = traded
        out.vwap[i] = traded / volume_so_far if volume_so_far > 0.0 else NAN
        count = totals.bars[c]
        if count == 0:
            totals.open[c] = bars.open[i]
            totals.first[c] = label
        totals.last[c] = label
        totals.close[c] = close
        totals.bars[c] = out.bars[i] = count + 1


@kernel
def forming_rows(row: int, code: int, rows: int, bars: Bars, forming: Forming, interval: int) -> None:
    """The same as `forming_run`, row by row."""
    k = unsigned(interval)
    for j in range(unsigned(rows)):
        i, c = unsigned(row) + j, unsigned(code) + j
        high, low = bars.high[i], bars.low[i]
        count = forming.bars[k, c]
        if count == 0:
            forming.open[k, c] = bars.open[i]
            forming.high[k, c] = high
            forming.low[k, c] = low
        else:
            if high > forming.high[k, c]:
                forming.high[k, c] = high
            if low < forming.low[k, c]:
                forming.low[k, c] = low
        forming.close[k, c] = bars.close[i]
        forming.bars[k, c] = count + 1


@kernel
def forming_run(row: int, code: int, rows: int, bars: Bars, forming: Forming, interval: int) -> None:
    """Add `rows` rows to the derived bars of one interval, built from the bars themselves."""
    i, c, k = unsigned(row), unsigned(code), unsigned(interval)
    for j in range(unsigned(rows)):
        high = bars.high[i + j]
        known = forming.high[k, c + j]
        forming.high[k, c + j] = high if high > known else known
    for j in range(unsigned(rows)):
        low = bars.low[i + j]
        known = forming.low[k, c + j]
        forming.low[k, c + j] = low if low < known else known
    for j in range(unsigned(rows)):
        known = forming.bars[k, c + j]
        forming.open[k, c + j] = bars.open[i + j] if known == 0 else forming.open[k, c + j]
    for j in range(unsigned(rows)):
        forming.close[k, c + j] = bars.close[i + j]
    for j in range(unsigned(rows)):
        forming.bars[k, c + j] += 1


@kernel
def forming_volume_run(row: int, code: int, rows: int, bars: Bars, forming: Forming, interval: int) -> None:
    """Add the volume of `rows` rows to one interval, bar by bar whatever the other intervals are.

    Sums of sums would differ in the last bit for fractional volumes, depending on which intervals were asked for.
    """
    i, c, k = unsigned(row), unsigned(code), unsigned(interval)
    for j in range(unsigned(rows)):
        forming.volume[k, c + j] += bars.volume[i + j]


@kernel
def emit_windows(window: int, interval: int, forming: Forming, parent: Int32, derived: Derived) -> None:
    """Write the derived bars of a window that has ended, merge them into wider ones, and begin anew."""
    symbols = forming.bars.shape[1]
    first = 0
    while first < symbols:
        end = first
        while end < symbols and forming.bars[interval, end] > 0:
            end += 1
        if end > first:
            emit_run(window, interval, first, end - first, forming, derived)
        first = end + 1
    for wider in range(interval + 1, len(parent)):
        if parent[wider] == interval:
            merge_windows(interval, wider, forming)
    k = unsigned(interval)
    for s in range(unsigned(symbols)):
        forming.high[k, s] = -INFINITY
    for s in range(unsigned(symbols)):
        forming.low[k, s] = INFINITY
    for s in range(unsigned(symbols)):
        forming.volume[k, s] = 0.0
    for s in range(unsigned(symbols)):
        forming.bars[k, s] = 0


@kernel
def emit_run(window: int, interval: int, first: int, rows: int, forming: Forming, derived: Derived) -> None:
    """Write the derived bars of `rows` symbols from `first` on, which all have one."""
    k, s = unsigned(interval), unsigned(first)
    i = unsigned(derived.starts[interval] + derived.rows[interval])
    for j in range(unsigned(rows)):
        derived.symbol[i + j] = s + j
    for j in range(unsigned(rows)):
        derived.window[i + j] = window
    for j in range(unsigned(rows)):
        derived.open[i + j] = forming.open[k, s + j]
    for j in range(unsigned(rows)):
        derived.high[i + j] = forming.high[k, s + j]
    for j in range(unsigned(rows)):
        derived.low[i + j] = forming.low[k, s + j]
    for j in range(unsigned(rows)):
        derived.close[i + j] = forming.close[k, s + j]
    for j in range(unsigned(rows)):
        derived.volume[i + j] = forming.volume[k, s + j]
    for j in range(unsigned(rows)):
        derived.bars[i + j] = forming.bars[k, s + j]
    derived.rows[interval] += rows


@kernel
def merge_windows(narrow: int, wide: int, forming: Forming) -> None:
    """Add the narrow interval's bars to the wide interval's, all symbols."""
    n, w = unsigned(narrow), unsigned(wide)
    symbols = unsigned(forming.bars.shape[1])
    for s in range(symbols):
        high = forming.high[n, s]
        forming.high[w, s] = high if high > forming.high[w, s] else forming.high[w, s]
    for s in range(symbols):
        low = forming.low[n, s]
        forming.low[w, s] = low if low < forming.low[w, s] else forming.low[w, s]
    for s in range(symbols):
        forming.open[w, s] = forming.open[n, s] if forming.bars[w, s] == 0 else forming.open[w, s]
    for s in range(symbols):
        forming.close[w, s] = forming.close[n, s] if forming.bars[n, s] > 0 else forming.close[w, s]
    for s in range(symbols):
        forming.bars[w, s] += forming.bars[n, s]


@kernel
def missing_run(first: int, end: int, expected: int, totals: Totals, gaps: Gaps) -> None:
    """Symbols `first` to `end` - 1 have no bar at this expected label: extend their gap or open one."""
    for s in range(first, end):
        gap = totals.gap[s]
        if gap >= 0 and gaps.first[gap] + gaps.length[gap] == expected:
            gaps.length[gap] += 1
        else:
            gap = gaps.rows[0]
            gaps.symbol[gap], gaps.first[gap], gaps.length[gap] = s, expected, 1
            totals.gap[s] = gap
            gaps.rows[0] = gap + 1


@kernel
def scan(
    grid: Grid,
    codes: Int32,
    bars: Bars,
    windows: Windows,
    totals: Totals,
    forming: Forming,
    running: Running,
    derived: Derived,
    gaps: Gaps,
) -> None:
    """Everything the pass computes for one session, which may hold any number of symbols.

    codes    the symbol of each row, rising within a label
    totals   as begun by the caller: zeros, -inf high, inf low, gap -1; the summary when this returns
    forming  as begun by the caller: zeros, -inf high, inf low
    running  one value per row, this bar included
    derived  room for every window of every symbol; interval k's are sorted by (window, symbol)
    gaps     room for every gap, sorted by (first, symbol)
    """
    symbols = len(totals.bars)
    labels = len(grid.starts)
    intervals = len(windows.parent)
    for t in range(labels):
        for k in range(intervals):
            if t > 0 and windows.of_label[k, t] != windows.of_label[k, t - 1]:
                emit_windows(windows.of_label[k, t - 1], k, forming, windows.parent, derived)
        expected = grid.expected[t]
        row, end = grid.starts[t], grid.ends[t]
        next_code = 0
        while row < end:
            rows = run_length(codes, row, end)
            code = codes[row]
            if rows < SHORT_RUN:
                running_rows(t, row, code, rows, bars, totals, running)
            else:
                running_run(t, row, code, rows, bars, totals, running)
            for k in range(intervals):
                if windows.parent[k] < 0:
                    if rows < SHORT_RUN:
                        forming_rows(row, code, rows, bars, forming, k)
                    else:
                        forming_run(row, code, rows, bars, forming, k)
                forming_volume_run(row, code, rows, bars, forming, k)
            if expected >= 0 and code > next_code:
                missing_run(next_code, code, expected, totals, gaps)
            next_code = code + rows
            row += rows
        if expected >= 0 and next_code < symbols:
            missing_run(next_code, symbols, expected, totals, gaps)
    if labels > 0:
        for k in range(intervals):
            emit_windows(windows.of_label[k, labels - 1], k, forming, windows.parent, derived)
