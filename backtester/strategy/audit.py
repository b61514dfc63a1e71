"""Look-ahead, found by changing the future: what was known at an instant may not depend on what came after it.

At chosen instants everything known later is cut off, and poisoned three ways; every output known by then must keep its
bits. A difference names the output's column, the bar it belongs to, and how many bars ahead the change was.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from backtester.arrays import Int64
from backtester.strategy.futures import POISONS, Frames, Futures, instants_in
from backtester.strategy.loading import where_raised
from backtester.strategy.told import Output, Told, different, first_different, moved, nothing_of, told

Compute = Callable[[Frames], Mapping[str, Output]]


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


class Failure(NamedTuple):
    """An error that the audited code raised on changed futures, which then compared nothing."""

    where: str  # its kind and the line that raised it
    words: str  # of the first one
    times: int


class Report(NamedTuple):
    """What an audit for look-ahead found."""

    leaks: list[Leak]
    checks: int  # changed futures that were computed and compared
    failures: list[Failure]


def look_ahead(
    compute: Compute,
    inputs: Frames,
    *,
    cuts: Iterable[int],
    poisons: Sequence[str] = POISONS,
    honest: Mapping[str, Output] | None = None,
    seed: int = 0,
) -> Report:
    """One leak per output and column that has any: its earliest bar, and the farthest distance seen.

    compute  gives outputs from inputs, both with their keys; called once a cut and poison
    inputs   sorted by `known_at`
    cuts     instants, UTC microseconds: what is known later is changed, what is known by then must stay
    honest   the outputs of unchanged inputs, where they are known; one that is missing has no row
    """
    honest = compute(inputs) if honest is None else honest
    whole = {name: told(output) for name, output in honest.items()}
    futures = Futures(inputs, seed=seed)
    instants = futures.instants
    found: dict[tuple[str, str], Leak] = {}
    failures: list[Failure] = []
    checks = 0
    for cut, poison in itertools.product(cuts, poisons):
        try:
            with _unheard():
                changed = compute(futures.after(cut, poison))
        except Exception as error:  # the audited code is a user's, and may not stand a short or strange session
            failures.append(failure(error))
        else:
            checks += 1
            for leak in _differences(whole, changed, cut, poison, instants):
                key = leak.output, leak.column
                found[key] = leak if key not in found else _merged(found[key], leak)
    leaks = sorted(found.values(), key=lambda leak: (leak.timestamp, leak.output, leak.column))
    return Report(leaks, checks, summed(failures))


def instants_of(frames: Frames, *, every: int = 1) -> list[int]:
    """Every `every`-th instant at which something becomes known, the last one left out: nothing comes after it."""
    chosen: list[int] = Futures(frames).instants[:-1][every // 2 :: every].tolist()
    return chosen


def order_sensitive(compute: Compute, inputs: Frames) -> dict[tuple[str, str], int]:
    """How many rows of each (output, column) change when symbols of equal labels come in reverse order."""
    names = sorted({symbol for frame in inputs.values() for symbol in frame["symbol"].unique()}, reverse=True)
    place = {symbol: rank for rank, symbol in enumerate(names)}
    turned = {}
    for name, frame in inputs.items():
        ranks = np.array([place[symbol] for symbol in frame["symbol"].to_list()])
        turned[name] = frame[np.lexsort((ranks, instants_in(frame, "timestamp"))).tolist()]
    return rows_changed(compute(inputs), compute(turned))


def rows_changed(honest: Mapping[str, Output], other: Mapping[str, Output]) -> dict[tuple[str, str], int]:
    """In how many rows each (output, column) differs, whatever order the rows of one label are in."""
    counts: dict[tuple[str, str], int] = {}
    for name, output in other.items():
        before, after = told(honest[name]).in_order(), told(output).in_order()
        if moved(before, after) is not None:
            counts[name, "rows"] = abs(before.rows - after.rows) or before.rows
            continue
        for column in first_different(before, after):
            counts[name, column] = int(different(before.columns[column], after.columns[column]).sum())
    return counts


def _differences(
    whole: Mapping[str, Told], changed: Mapping[str, Output], cut: int, poison: str, instants: Int64
) -> list[Leak]:
    leaks = []
    future = int(np.searchsorted(instants, cut, "right"))
    outputs = {name: told(output) for name, output in changed.items()}
    for name in dict.fromkeys([*outputs, *whole]):
        before = (whole[name] if name in whole else nothing_of(outputs[name])).by(cut)
        after = (outputs[name] if name in outputs else nothing_of(before)).by(cut)

        def leak(row: int, column: str, *, of: Told, output: str = name) -> Leak:
            known_at = int(of.instants("known_at")[row])
            distance = future - int(np.searchsorted(instants, known_at))
            timestamp = int(of.instants("timestamp")[row])
            return Leak(output, column, of.symbol(row), timestamp, known_at, cut, poison, distance, 1)

        row = moved(before, after)
        if row is not None:
            leaks.append(leak(row, "rows", of=before if row < before.rows else after))
            continue
        leaks += [leak(row, column, of=before) for column, row in first_different(before, after).items()]
    return leaks


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """What the audited code prints is talk, and comes hundreds of times over."""
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


def _merged(first: Leak, other: Leak) -> Leak:
    earliest = first if first.known_at <= other.known_at else other
    farthest = max(first.distance_bars, other.distance_bars)
    return earliest._replace(distance_bars=farthest, places=first.places + other.places)


def failure(error: Exception) -> Failure:
    """An error of the audited code, once."""
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    kind = type(cause).__name__
    place = where_raised(cause)[len(f"{kind}: {cause}") :]
    return Failure(kind + place, str(cause).partition("\n")[0], 1)


def summed(failures: Iterable[Failure]) -> list[Failure]:
    """One for each place, with the first one's words."""
    found: dict[str, Failure] = {}
    for each in failures:
        first = found.get(each.where)
        found[each.where] = each if first is None else first._replace(times=first.times + each.times)
    return list(found.values())
