"""Changed futures: a session's frames up to an instant, with all that is known later cut off or poisoned."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from backtester.arrays import Float64, Int64

# How the future is changed.
TRUNCATED, NAN, SCALED, RANDOM = POISONS = ("truncated", "nan", "scaled", "random")
KEYS = ("known_at", "timestamp", "symbol")
# Columns that say when and whose, not what; the session's own times are the calendar's and known before it.
UNTOUCHED = (*KEYS, "session_open", "session_close", "session", "interval")

Frames = Mapping[str, pl.DataFrame]  # each with KEYS, instants in UTC microseconds


class Futures:
    """Frames and what may be made of their later rows; each is poisoned once, whichever instant it is taken from."""

    def __init__(self, frames: Frames, *, seed: int = 0) -> None:
        """ValueError unless every frame is sorted by `known_at`."""
        self._frames = frames
        self._seed = seed
        self._known = {name: instants_in(frame, "known_at") for name, frame in frames.items()}
        for name, known in self._known.items():
            if (known[1:] < known[:-1]).any():
                raise ValueError(f"{name} is not sorted by known_at")
        self._changed: dict[tuple[str, str], pl.DataFrame] = {}

    @property
    def instants(self) -> Int64:
        """Every instant at which something becomes known, rising."""
        return np.unique(np.concatenate(list(self._known.values())))

    def after(self, cut: int, poison: str) -> dict[str, pl.DataFrame]:
        """The frames with every row known after `cut` cut off or changed."""
        changed = {}
        for name, frame in self._frames.items():
            kept = int(np.searchsorted(self._known[name], cut, "right"))
            past = frame.head(kept)
            if poison == TRUNCATED:
                changed[name] = past
            else:
                later = self._poisoned(name, poison).tail(frame.height - kept)
                changed[name] = pl.concat([past, later], rechunk=True)
        return changed

    def _poisoned(self, name: str, poison: str) -> pl.DataFrame:
        found = self._changed.get((name, poison))
        if found is None:
            # A row is drawn from its session's time too: no two sessions have the same factors.
            begin = int(self._known[name][0]) % 2**63 if len(self._known[name]) else 0
            found = self._changed[name, poison] = _poisoned(self._frames[name], poison, (self._seed, begin))
        return found


def instants_in(frame: pl.DataFrame, name: str) -> Int64:
    """A column of instants in UTC microseconds."""
    values: Int64 = frame[name].to_physical().to_numpy()
    return values


def _poisoned(frame: pl.DataFrame, poison: str, seed: tuple[int, int]) -> pl.DataFrame:
    """Every row changed, nulls filled.

    Random prices of a row are moved by one factor and rounded, so that they are still a bar.
    """
    names = [name for name in frame.columns if name not in UNTOUCHED and frame[name].dtype.is_numeric()]
    if poison == NAN:
        floats = [name for name in names if frame[name].dtype.is_float()]
        return frame.with_columns(pl.lit(np.nan, frame[name].dtype).alias(name) for name in floats)
    factor = np.full(frame.height, 1.5)
    if poison == RANDOM:
        factor = np.random.default_rng(seed).uniform(0.5, 1.5, frame.height)
    columns = []
    for name in names:
        values = frame[name].cast(pl.Float64).to_numpy() * factor
        values = values if poison == SCALED else _rounded(values)
        columns.append(pl.Series(name, values).cast(frame[name].dtype, strict=False))
    return frame.with_columns(columns)


def _rounded(values: Float64) -> Float64:
    """Whole cents, and below one currency unit millionths: what a cent rounds to 0 would be no price."""
    return np.where(np.abs(values) < 1.0, np.round(values, 6), np.round(values, 2))
