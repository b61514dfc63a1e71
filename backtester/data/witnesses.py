"""What bars themselves say of their labels: when the market is busy, where each session begins, how far bars lie apart.

Every witness is a count over the calendar's regular hours, none knows what was declared; labels.py weighs them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from backtester.arrays import Bool, Float64, Int64
from backtester.data.calendar import NO_BREAK, Calendar, SessionColumns
from backtester.interval import Interval

MINUTE_US = 60_000_000
DAY_US = 86_400_000_000
# Clock errors worth naming are whole half hours: zones, clock changes, instants converted twice.
STEP_US = 30 * MINUTE_US
STEPS = tuple(range(-23, 25))
# Regular hours are masks over a day of 5-minute slots counted from the open.
SLOT_US = 5 * MINUTE_US
SLOTS = DAY_US // SLOT_US
# A bar weighs its volume over this quantile's, at most 1: a closing auction holds a tenth of a session in one print.
CAP_QUANTILE = 0.9
# The market wakes at the open: the half hour after it against the half hour before.
WAKING_SLOTS = 6
# An opening is a bar this many times as busy as each of the bars before it.
OPENING_JUMP = 5.0
BARS_BEFORE = 5
# A minute that traded nothing weighs this share of a median one, so that a bar without volume still counts as present.
PRESENT_MEDIANS = 1e-3


class Sessions(NamedTuple):
    """The sessions around some bars, one row each, oldest first."""

    columns: SessionColumns
    offsets: Int64  # the exchange zone's offset from UTC at the open, microseconds
    kinds: Int64  # sessions with equal regular hours, counted from the open, share a kind
    masks: Bool  # [kind, slot]: the slot lies in regular hours


class Activity(NamedTuple):
    """Bars and weights inside regular hours, a row per (symbol, zone offset) group.

    Matrices are [group, step]: column k holds the sums if every label were moved by STEPS[k] half hours.
    """

    symbols: Int64
    offsets: Int64
    sessions: Int64
    bars: Float64  # matrix
    weight: Float64  # matrix; see CAP_QUANTILE, a symbol without any volume weighs 1 a bar
    moved: Float64  # matrix: sum of squared weights of the bars that the step moves in or out
    waking: Float64  # matrix: weight of the half hour after the open
    asleep: Float64  # matrix: weight of the half hour before the open
    all_bars: Float64
    all_weight: Float64
    regular_us: Float64  # regular hours, summed over the group's sessions


def sessions_around(calendar: Calendar, timestamps: Int64) -> Sessions:
    """The sessions from a day before the first timestamp to a day after the last, all inside the calendar."""
    every = calendar.columns
    low = max(int(np.searchsorted(every.opens, int(timestamps.min()) - DAY_US)) - 1, 0)
    high = int(np.searchsorted(every.opens, int(timestamps.max()) + DAY_US)) + 1
    columns = SessionColumns(
        every.dates[low:high],
        every.opens[low:high],
        every.closes[low:high],
        every.break_starts[low:high],
        every.break_ends[low:high],
        every.is_early_close[low:high],
    )
    zone = ZoneInfo(calendar.zone)
    offsets = [dt.datetime.fromtimestamp(at / 1e6, zone).utcoffset() for at in columns.opens.tolist()]
    hours = np.stack([columns.closes, columns.break_starts, columns.break_ends]) - columns.opens
    hours[1:, columns.break_starts == NO_BREAK] = NO_BREAK
    shapes, kinds = np.unique(hours, axis=1, return_inverse=True)
    at = np.arange(SLOTS) * SLOT_US
    masks = np.stack([(at < close) & ~((at >= start) & (at < end)) for close, start, end in shapes.T.tolist()])
    return Sessions(columns, np.array(offsets, "timedelta64[us]").astype(np.int64), kinds.ravel(), masks)


def place_bars(bars: pl.DataFrame, sessions: Sessions, interval: Interval) -> pl.DataFrame:
    """Each bar beside its session: symbol, session (index), bar (from the open, negative before it), slot, weights.

    A bar belongs to the session that is nearest, so that a label that is hours wrong still lies on the clock it was
    meant for. Bars before the first session and without a volume of 0 or more are left out.
    `weight` is capped (see CAP_QUANTILE), `busy` is the volume in median bars.
    """
    opens = sessions.columns.opens
    timestamps = bars["timestamp"].to_numpy()
    closed_us = np.concatenate([[DAY_US], opens[1:] - sessions.columns.closes[:-1]])
    session = np.searchsorted(opens - np.minimum(closed_us, DAY_US) // 2, timestamps, side="right") - 1
    since_us = timestamps - opens[np.maximum(session, 0)]
    slot = since_us // SLOT_US % SLOTS
    bars = bars.select(
        pl.col("symbol").cast(pl.Int64),
        pl.Series("session", session),
        pl.Series("bar", since_us // interval.us),
        pl.Series("slot", slot),
        pl.Series("is_regular", sessions.masks[sessions.kinds[session], slot]),
        "volume",
    ).filter(pl.col("session") >= 0, pl.col("volume").is_finite(), pl.col("volume") >= 0)
    traded = pl.col("volume").filter(pl.col("volume") > 0)
    scale = bars.group_by("symbol").agg(traded.median().alias("median"), traded.quantile(CAP_QUANTILE).alias("cap"))
    weight, busy = pl.col("volume") / pl.col("cap"), pl.col("volume") / pl.col("median") + PRESENT_MEDIANS
    return bars.join(scale, on="symbol", how="left", maintain_order="left").with_columns(
        pl.when(pl.col("cap").is_null()).then(1.0).otherwise(pl.min_horizontal(weight, 1.0)).alias("weight"),
        pl.when(pl.col("cap").is_null()).then(1.0).otherwise(busy).alias("busy"),
    )


def activity(bars: pl.DataFrame, sessions: Sessions) -> Activity:
    """The busy hours of every symbol under each half hour the labels could be wrong by, clock changes kept apart."""
    offsets, offset = np.unique(sessions.offsets, return_inverse=True)
    at = bars["session"].to_numpy()
    group = bars["symbol"].to_numpy() * offsets.size + offset[at]
    slots = _slots(bars, group, sessions)
    ids, row = np.unique(slots["group"].to_numpy(), return_inverse=True)
    kind, slot = slots["kind"].to_numpy(), slots["slot"].to_numpy()
    weight, count = slots["weight"].to_numpy(), slots["bars"].to_numpy()
    now = sessions.masks[kind, slot]

    def summed(values: Float64) -> Float64:
        return np.bincount(row, weights=values, minlength=ids.size).astype(np.float64)

    def stepped(values: Float64, chosen: Callable[[Int64], Bool]) -> Float64:
        moved = [(slot + step * (STEP_US // SLOT_US)) % SLOTS for step in STEPS]
        return np.stack([summed(values * chosen(slots)) for slots in moved], axis=1)

    per_session = pl.DataFrame({"group": group, "session": at}).unique().sort("group", "session")
    seen = np.searchsorted(ids, per_session["group"].to_numpy())
    regular_us = (sessions.masks.sum(axis=1) * SLOT_US)[sessions.kinds[per_session["session"].to_numpy()]]
    return Activity(
        symbols=ids // offsets.size,
        offsets=offsets[ids % offsets.size],
        sessions=np.bincount(seen, minlength=ids.size),
        bars=stepped(count, lambda slots: sessions.masks[kind, slots]),
        weight=stepped(weight, lambda slots: sessions.masks[kind, slots]),
        moved=stepped(slots["squared"].to_numpy(), lambda slots: sessions.masks[kind, slots] != now),
        waking=stepped(weight, lambda slots: slots < WAKING_SLOTS),
        asleep=stepped(weight, lambda slots: slots >= SLOTS - WAKING_SLOTS),
        all_bars=summed(count),
        all_weight=summed(weight),
        regular_us=np.bincount(seen, weights=regular_us, minlength=ids.size).astype(np.float64),
    )


def _slots(bars: pl.DataFrame, group: Int64, sessions: Sessions) -> pl.DataFrame:
    """Bars, weight and squared weight of each (group, kind of session, slot)."""
    kinds = sessions.masks.shape[0]
    # Grouping by one integer is three times as fast as by three columns.
    key = pl.Series(
        "key", (group * kinds + sessions.kinds[bars["session"].to_numpy()]) * SLOTS + bars["slot"].to_numpy()
    )
    summed = (
        bars.select(key, "weight")
        .group_by("key")
        .agg(
            pl.len().cast(pl.Float64).alias("bars"),
            pl.col("weight").sum(),
            pl.col("weight").pow(2).sum().alias("squared"),
        )
    )
    rest, slot = np.divmod(summed["key"].to_numpy(), SLOTS)
    return summed.with_columns(
        pl.Series("group", rest // kinds), pl.Series("kind", rest % kinds), pl.Series("slot", slot)
    )


def regular_bars(bars: pl.DataFrame) -> pl.DataFrame:
    """Each symbol-session with a bar in regular hours: symbol, session, bars, first, last (counted from the open)."""
    regular = bars.filter("is_regular").group_by("symbol", "session")
    return regular.agg(pl.len().alias("bars"), pl.col("bar").min().alias("first"), pl.col("bar").max().alias("last"))


class Openings(NamedTuple):
    """Where each symbol-session that was asked opens: -1, 0 or +1 bars from the declared open, if it shows at all."""

    symbols: Int64
    shows: Bool
    position: Int64
    is_strong: Bool  # nothing but labels one bar off explains it


def openings(bars: pl.DataFrame, sessions: Sessions, interval: Interval) -> Openings:
    """Where each symbol-session opens, if it shows: the one bar beside the open far busier than the bars before it.

    Continuous markets have no opening; a symbol's first session on one begins where its data begin and says nothing.
    A position beside the open is strong where the symbol trades in nearly every bar and, besides, either nothing at all
    trades before that bar though the open's own bar is missing, or the close lies off by the same bar.
    """
    columns = sessions.columns
    closed_us = np.concatenate([[0], columns.opens[1:] - columns.closes[:-1]])
    facts = {
        "session": np.arange(columns.opens.size),
        "length": (columns.closes - columns.opens) // interval.us,
        "expected": sessions.masks.sum(axis=1)[sessions.kinds] * SLOT_US // interval.us,
        "after_closed": closed_us >= BARS_BEFORE * interval.us,
    }
    after = (pl.col("bar") - pl.Series(facts["length"])[bars["session"]]).alias("after")
    edges = bars.with_columns(after).filter(
        pl.col("bar").is_between(-6 * BARS_BEFORE, 1) | pl.col("after").is_between(-3, 4)
    )
    counted = edges.group_by("symbol", "session").agg(
        *[pl.col("busy").filter(pl.col("bar") == k).sum().alias(f"open{k}") for k in range(-1 - BARS_BEFORE, 2)],
        *[pl.col("busy").filter(pl.col("after") == k).sum().alias(f"close{k}") for k in range(-3, 5)],
        pl.col("bar").is_between(-6 * BARS_BEFORE, -1).sum().alias("before"),
    )
    counted = counted.join(regular_bars(bars), on=["symbol", "session"]).join(pl.DataFrame(facts), on="session")
    first = bars.group_by("symbol").agg(pl.col("session").min().alias("first_session"))
    voting = counted.join(first, on="symbol").filter(
        pl.col("after_closed") | (pl.col("session") > pl.col("first_session")), pl.col("length") > 2
    )
    return _vote(voting)


def _vote(counted: pl.DataFrame) -> Openings:
    """One vote a row of `counted`, where exactly one of the three bars about the open stands out."""
    jumps = [_stands_out(counted, "open", k, range(k - BARS_BEFORE, k)) for k in (-1, 0, 1)]
    # A bar before the open that stands out is an opening only if what follows is less busy.
    jumps[0] &= (counted["open-1"] >= counted["open0"]).to_numpy()
    alone = np.sum(jumps, axis=0) == 1
    position = np.argmax(jumps, axis=0).astype(np.int64) - 1
    last = [_stands_out(counted, "close", k, range(k + 1, k + 4)) for k in range(-2, 2)]
    # The last busy bar counted from the close, -9 where none or several are: -1 is the last regular bar, 0 a closing
    # auction or the last regular bar labelled late, 1 an auction labelled late.
    close = np.where(np.sum(last, axis=0) == 1, np.argmax(last, axis=0) - 2, -9)
    dense = (counted["bars"] >= 0.95 * counted["expected"]).to_numpy()
    empty = (counted["open0"] == 0).to_numpy()
    quiet = (counted["before"] - (counted["open-1"] > 0)).to_numpy() == 0
    # An opening delayed at one exchange leaves the others trading: its first bar is no quieter than the median one.
    quiet_open = (counted["open0"] < 1.0).to_numpy()
    late = (quiet & empty & (close >= 0)) | (quiet_open & (close == 1))
    strong = dense & np.where(position > 0, late, quiet | (close == -2))
    return Openings(counted["symbol"].to_numpy(), alone, position, alone & strong & (position != 0))


def _stands_out(counted: pl.DataFrame, edge: str, bar: int, beside: range) -> Bool:
    others = np.max([counted[f"{edge}{k}"].to_numpy() for k in beside], axis=0)
    value = counted[f"{edge}{bar}"].to_numpy()
    out: Bool = (value > 0) & (value >= OPENING_JUMP * others)
    return out


def bar_steps(bars: pl.DataFrame) -> list[tuple[int, int, int]]:
    """(symbol, bars, step) of each symbol: counted from the open, its bars lie multiples of `step` bars apart."""
    counted = bars.group_by("symbol").agg(pl.len(), pl.col("bar").unique().alias("places")).sort("symbol")
    return [
        (symbol, count, int(np.gcd.reduce(np.array(places, dtype=np.int64) - places[0])))
        for symbol, count, places in counted.iter_rows()
    ]
