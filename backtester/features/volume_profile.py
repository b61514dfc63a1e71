"""When in a session volume trades: its mean by minute of the session, and a running session's volume beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from backtester.arrays import Float64, Int32, Int64
from backtester.data.calendar import Session
from backtester.data.columns import dictionary, instants, numbers, text
from backtester.features.daily import SessionWindows, WindowVolumes
from backtester.interval import Interval
from backtester.schema import INSTANT, SYMBOL

# Sorted by (key, timestamp, symbol): one row per symbol and expected label of this session, whose timestamp it is.
# mean_volume and mean_cumulative_volume are null where fewer sessions than the declared minimum have such a label.
VOLUME_PROFILE = pa.schema(
    [
        pa.field("key", SYMBOL, nullable=False),
        pa.field("label_index", pa.int32(), nullable=False),
        pa.field("timestamp", INSTANT, nullable=False),
        pa.field("symbol", SYMBOL, nullable=False),
        pa.field("mean_volume", pa.float64()),
        pa.field("mean_cumulative_volume", pa.float64()),
        pa.field("sessions_used", pa.int32(), nullable=False),
    ]
)


class Profile(NamedTuple):
    """Means over trailing sessions for each label of this session, [symbols, labels]; NaN where there is none."""

    windows: SessionWindows  # of this session
    mean_volume: Float64
    mean_cumulative_volume: Float64  # from the open to the label's end
    sessions_used: Int32  # how many sessions each mean_volume is the mean of


def volume_profile(
    volumes: Sequence[WindowVolumes],
    sessions: Sequence[Session],
    windows: SessionWindows,
    symbols: int,
    *,
    skip_early_close: bool = False,
    missing: str = "zero",
    minimum: int = 1,
) -> Profile:
    """The profile of trailing sessions on the labels of this one.

    volumes, sessions  one of each for every trailing session, oldest first
    skip_early_close   sessions that close early do not count; otherwise they count for the labels they have
    missing            a missing bar counts as 0 volume (`zero`), or its session does not count there (`skip`)

    A session in which a symbol has no bar at all never counts for it. Cumulative volume takes missing bars for 0.
    """
    labels = len(windows.starts)
    total, counted = np.zeros((labels, symbols)), np.zeros((labels, symbols), dtype=np.int32)
    cumulative, days = _Cumulative(labels, symbols), zip(volumes, sessions, strict=True)
    for (volume, has_bar), session in days:
        if skip_early_close and session.is_early_close:
            continue
        size, present = min(len(volume), labels), has_bar.any(axis=0)
        total[:size] += volume[:size]
        counted[:size] += has_bar[:size] if missing == "skip" else present
        cumulative.add(volume[:size], present)
    mean = _mean(total, counted, minimum)
    return Profile(windows, mean.T, cumulative.mean(minimum).T, counted.T)


class _Cumulative:
    """Sums of cumulative volume: sessions of one length are summed first, so that one cumulation serves them all."""

    def __init__(self, labels: int, symbols: int) -> None:
        self.shape = (labels, symbols)
        self.sums: dict[int, Float64] = {}
        self.counts: dict[int, Int32] = {}

    def add(self, volume: Float64, present: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
        size = len(volume)
        if size not in self.sums:
            self.sums[size] = np.zeros((size, self.shape[1]))
            self.counts[size] = np.zeros(self.shape[1], dtype=np.int32)
        self.sums[size] += volume
        self.counts[size] += present

    def mean(self, minimum: int) -> Float64:
        total, counted = np.zeros(self.shape), np.zeros(self.shape, dtype=np.int32)
        for size in sorted(self.sums):
            total[:size] += np.cumsum(self.sums[size], axis=0)
            counted[:size] += self.counts[size]
        return _mean(total, counted, minimum)


def _mean(total: Float64, counted: Int32, minimum: int) -> Float64:
    enough = counted >= max(minimum, 1)
    mean: Float64 = np.divide(total, counted, out=np.full(total.shape, np.nan), where=enough)
    return mean


def relative_volume(
    timestamps: Int64, codes: Int32, running_volume: Float64, profile: Profile, *, interval: Interval
) -> Float64:
    """Volume of the session so far over its mean by the same time of the session, one value per row.

    running_volume  of regular hours, this bar included, as `running` has it; codes are the symbols' rows in `profile`

    A row has a value where its bar ends with a label of the profile: each row if the profile has the rows' interval.
    NaN elsewhere, and where the mean is NaN or 0. Known with the bar.
    """
    starts, ends = profile.windows
    label = np.searchsorted(ends, timestamps + interval.us)
    label[label == len(ends)] = 0
    known = (ends[label] == timestamps + interval.us) if len(ends) else np.zeros(len(timestamps), dtype=np.bool_)
    known &= timestamps >= starts[0] if len(starts) else False
    relative = np.full(len(timestamps), np.nan)
    usual = profile.mean_cumulative_volume[codes[known], label[known]]
    ratio = np.divide(running_volume[known], usual, out=np.full(len(usual), np.nan), where=usual > 0.0)
    relative[known] = ratio
    return relative


def profile_table(profiles: dict[str, Profile], symbols: Sequence[str]) -> pa.Table:
    """VOLUME_PROFILE of one session, by key."""
    names, keys = text(symbols), text(list(profiles))
    tables = []
    for code, profile in enumerate(profiles.values()):
        labels = len(profile.windows.starts)
        index = np.repeat(np.arange(labels, dtype=np.int32), len(symbols))
        mean, cumulative = profile.mean_volume.T.ravel(), profile.mean_cumulative_volume.T.ravel()
        arrays = [
            dictionary(np.full(len(index), code, dtype=np.int32), keys),
            numbers(index),
            instants(np.repeat(profile.windows.starts, len(symbols))),
            dictionary(np.tile(np.arange(len(symbols), dtype=np.int32), labels), names),
            numbers(mean, null=np.isnan(mean)),
            numbers(cumulative, null=np.isnan(cumulative)),
            numbers(profile.sessions_used.T.ravel()),
        ]
        tables.append(pa.Table.from_arrays(arrays, schema=VOLUME_PROFILE))
    return pa.concat_tables(tables).combine_chunks() if tables else VOLUME_PROFILE.empty_table()
