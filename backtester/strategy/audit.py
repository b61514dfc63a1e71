"""Look-ahead, found by changing the future: what was known at an instant may not depend on what came after it.

At chosen instants everything known later is cut off, and poisoned three ways; every output known by then must keep its
bits. A difference names the output's column, the bar it belongs to, and how many bars ahead the change was.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from backtester.arrays import Bool, Float64, Int64

# How the future is changed. A NaN is no bar of ours: it is for a strategy's own code, which reads frames.
TRUNCATED, NAN, SCALED, RANDOM = POISONS = ("truncated", "nan", "scaled", "random")
KEYS = ("known_at", "timestamp", "symbol")
# Columns that say when and whose, not what; the session's own times are the calendar's and known before it.
UNTOUCHED = (*KEYS, "session_open", "session_close", "session", "interval")

Frames = Mapping[str, pl.DataFrame]  # each with `known_at` and `timestamp` (UTC microseconds) and `symbol`
Compute = Callable[[Frames], Frames]


class Leak(NamedTuple):
    """An output that changed with its future."""

    output: str
    column: str  # `rows` where rows appeared, vanished or moved
    symbol: str
    timestamp: int  # label of the bar the output belongs to, UTC microseconds
    known_at: int
    cut_at: int  # what changed became known after this instant
    poison: str
    distance_bars: int  # from the output's bar to the first changed one
    places: int  # (cut, poison) pairs at which the column changed


class Report(NamedTuple):
    """What an audit for look-ahead found."""

    leaks: list[Leak]
    checks: int  # changed futures that were computed and compared
    failures: dict[str, int]  # errors of the audited code on changed futures, and how often; they compare nothing


def look_ahead(
    compute: Compute,
    inputs: Frames,
    *,
    cuts: Iterable[int],
    poisons: Sequence[str] = POISONS,
    honest: Frames | None = None,
    seed: int = 0,
) -> Report:
    """One leak per output and column that has any: its earliest bar, and the farthest distance seen.

    compute  gives outputs from inputs, both with their keys; called once a cut and poison
    cuts     instants, UTC microseconds: what is known later is changed, what is known by then must stay
    honest   the outputs of unchanged inputs, where they are known; one that is missing has no row
    """
    honest = compute(inputs) if honest is None else honest
    instants = np.unique(np.concatenate([_instants(frame, "known_at") for frame in inputs.values()]))
    found: dict[tuple[str, str], Leak] = {}
    failures: dict[str, int] = {}
    checks = 0
    for cut, poison in itertools.product(cuts, poisons):
        try:
            changed = compute({name: poisoned(frame, cut, poison, seed=seed) for name, frame in inputs.items()})
        except Exception as error:  # the audited code is a user's, and may not stand a short or strange session
            told = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            failures[told] = failures.get(told, 0) + 1
        else:
            checks += 1
            for leak in _differences(honest, changed, cut, poison, instants):
                key = leak.output, leak.column
                found[key] = leak if key not in found else _merged(found[key], leak)
    leaks = sorted(found.values(), key=lambda leak: (leak.timestamp, leak.output, leak.column))
    return Report(leaks, checks, failures)


def poisoned(frame: pl.DataFrame, cut: int, poison: str, *, seed: int = 0) -> pl.DataFrame:
    """The frame with every row known after `cut` cut off or changed.

    Random prices of a row are moved by one factor, in whole cents, so that they are still a bar.
    """
    is_later = _instants(frame, "known_at") > cut
    if poison == TRUNCATED:
        return frame.filter(pl.Series(~is_later))
    names = [name for name in frame.columns if name not in UNTOUCHED and _can_change(frame[name].dtype)]
    if poison == NAN:
        floats = [name for name in names if frame[name].dtype.is_float()]
        return frame.with_columns(_where(frame[name], is_later, np.full(frame.height, np.nan)) for name in floats)
    factor = np.full(frame.height, 1.5)
    if poison == RANDOM:
        factor = np.random.default_rng((seed, cut % 2**63)).uniform(0.5, 1.5, frame.height)
    columns = []
    for name in names:
        values = frame[name].cast(pl.Float64).to_numpy() * factor
        columns.append(_where(frame[name], is_later, values if poison == SCALED else np.round(values, 2)))
    return frame.with_columns(columns)


def instants_of(frames: Frames, *, every: int = 1) -> list[int]:
    """Every `every`-th instant at which something becomes known, the last one left out: nothing comes after it."""
    known = np.unique(np.concatenate([_instants(frame, "known_at") for frame in frames.values()]))
    chosen: list[int] = known[:-1][every // 2 :: every].tolist()
    return chosen


def order_sensitive(compute: Compute, inputs: Frames) -> dict[tuple[str, str], int]:
    """How many rows of each (output, column) change when symbols of equal labels come in reverse order."""
    honest = compute(inputs)
    names = sorted({symbol for frame in inputs.values() for symbol in frame["symbol"].unique()}, reverse=True)
    place = {symbol: rank for rank, symbol in enumerate(names)}
    turned = {}
    for name, frame in inputs.items():
        ranks = np.array([place[symbol] for symbol in frame["symbol"].to_list()])
        turned[name] = frame[np.lexsort((ranks, _instants(frame, "timestamp"))).tolist()]
    counts = {}
    for name, frame in compute(turned).items():
        before, after = honest[name].sort(*KEYS), frame.sort(*KEYS)
        if not before.select(KEYS).equals(after.select(KEYS)):
            counts[name, "rows"] = abs(before.height - after.height) or before.height
            continue
        for column in _values(before):
            differing = int(_differ(before[column], after[column]).sum())
            if differing:
                counts[name, column] = differing
    return counts


def _differences(honest: Frames, changed: Frames, cut: int, poison: str, instants: Int64) -> list[Leak]:
    leaks = []
    future = int(np.searchsorted(instants, cut, "right"))
    for name, after in changed.items():
        before = honest.get(name, after.clear())
        before = before.filter(pl.Series(_instants(before, "known_at") <= cut))
        after = after.filter(pl.Series(_instants(after, "known_at") <= cut))

        def leak(row: int, column: str, *, frame: pl.DataFrame, output: str = name) -> Leak:
            known_at = int(_instants(frame, "known_at")[row])
            distance = future - int(np.searchsorted(instants, known_at))
            timestamp = int(_instants(frame, "timestamp")[row])
            return Leak(output, column, str(frame["symbol"][row]), timestamp, known_at, cut, poison, distance, 1)

        same = min(before.height, after.height)
        moved = np.zeros(same, dtype=np.bool_)
        for key in KEYS:
            moved |= _differ(before[key][:same], after[key][:same])
        if moved.any() or before.height != after.height:
            row = int(np.argmax(moved)) if moved.any() else same
            leaks.append(leak(row, "rows", frame=before if row < before.height else after))
            continue
        for column in _values(before):
            differing = _differ(before[column], after[column])
            if differing.any():
                leaks.append(leak(int(np.argmax(differing)), column, frame=before))
    return leaks


def _merged(first: Leak, other: Leak) -> Leak:
    earliest = first if first.known_at <= other.known_at else other
    farthest = max(first.distance_bars, other.distance_bars)
    return earliest._replace(distance_bars=farthest, places=first.places + other.places)


def _values(frame: pl.DataFrame) -> list[str]:
    return [name for name in frame.columns if name not in KEYS]


def _differ(before: pl.Series, after: pl.Series) -> Bool:
    """True where two columns do not hold the same bits; null is the same as null alone."""
    if before.dtype != after.dtype:
        # A column without a value left has no type of its own: it holds nulls.
        if pl.Null in (before.dtype, after.dtype):
            wanted = after.dtype if before.dtype == pl.Null else before.dtype
            return _differ(before.cast(wanted), after.cast(wanted))
        return np.ones(len(before), dtype=np.bool_)
    nulls = before.is_null().to_numpy() != after.is_null().to_numpy()
    if before.dtype.is_float():
        bits = [np.ascontiguousarray(each.fill_null(0.0).to_numpy()) for each in (before, after)]
        width = np.int64 if before.dtype == pl.Float64 else np.int32
        different: Bool = (bits[0].view(width) != bits[1].view(width)) | nulls
        return different
    same: Bool = before.eq_missing(after).to_numpy()
    return ~same


def _where(column: pl.Series, is_later: Bool, values: Float64) -> pl.Series:
    """A column with other values where it is later; its nulls there are filled too, its type is kept."""
    other = pl.Series(column.name, values).cast(column.dtype, strict=False)
    return other.zip_with(pl.Series(is_later), column)


def _can_change(kind: pl.DataType) -> bool:
    return bool(kind.is_numeric())


def _instants(frame: pl.DataFrame, name: str) -> Int64:
    values: Int64 = frame[name].to_physical().to_numpy()
    return values
