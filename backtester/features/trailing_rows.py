"""Historical values on a session's rows: each row's own, known with it, for strategies and for relative volume."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from backtester.arrays import Bool, Float64, Int64
from backtester.features.rows import Rows
from backtester.features.trailing import Historical
from backtester.features.trailing_bars import slot_ends
from backtester.features.trailing_catalog import ENTRIES, columns_of
from backtester.features.trailing_profile import Profile


def on_rows(past: Historical, rows: Rows, columns: Int64) -> dict[str, Float64]:
    """Every historical value by key, one a row; NaN where there is none.

    columns  where the session's symbols are among the values'
    """
    symbol = columns[rows.codes]
    out = by_symbol(past, symbol)
    for profile in past.profiles:
        slot, _ = _slots(profile, rows)
        out[profile.key] = np.where(slot >= 0, profile.values[slot, symbol], np.nan)
    return out | ratios(past, rows, columns)


def by_symbol(past: Historical, columns: Int64) -> dict[str, Float64]:
    """Every historical value that is one for the whole session, by key, one per entry of `columns`."""
    return {
        key: row.values[output][columns]
        for row in past.rows
        for key, output in zip(columns_of(row.use), ENTRIES[row.use.name].outputs, strict=True)
    }


def ratios(past: Historical, rows: Rows, columns: Int64) -> dict[str, Float64]:
    """`KEY_ratio` of each cumulative profile: the volume so far over what is usual by then (relative volume).

    On rows that end a slot, since a profile knows no others; NaN elsewhere and where nothing is usual.
    """
    symbol = columns[rows.codes]
    out = {}
    for profile in past.profiles:
        if profile.use.name == "cumulative_volume":
            slot, ends = _slots(profile, rows)
            usual = np.where((slot >= 0) & (ends == rows.known_at), profile.values[slot, symbol], np.nan)
            ratio = np.full(len(usual), np.nan)
            out[f"{profile.key}_ratio"] = np.divide(_since_open(rows, slot >= 0), usual, out=ratio, where=usual > 0.0)
    return out


def _since_open(rows: Rows, is_regular: Bool) -> Float64:
    """Each row's volume so far in regular hours, which are all that a profile counts; added as the pass adds."""
    if is_regular.all():
        return rows.running.volume
    total, so_far = np.zeros(len(rows.symbols)), np.zeros(len(rows.codes))
    for first, end in pairwise([0, *(np.flatnonzero(np.diff(rows.label)) + 1).tolist(), len(rows.codes)]):
        # A label has a symbol once.
        codes = rows.codes[first:end]
        total[codes] += np.where(is_regular[first:end], rows.bars.volume[first:end], 0.0)
        so_far[first:end] = total[codes]
    return so_far


def _slots(profile: Profile, rows: Rows) -> tuple[Int64, Int64]:
    """Each row's slot, -1 outside regular hours, and when the slot ends."""
    ends = slot_ends(rows.session, profile.use.step_us)
    slot = np.searchsorted(profile.starts, rows.timestamps, side="right") - 1
    slot[rows.timestamps >= ends[slot]] = -1
    return slot, ends[slot]
