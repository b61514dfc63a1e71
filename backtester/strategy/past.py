"""The source bars of the sessions before this one, as a strategy reads them: by symbol, oldest first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import pyarrow as pa

from backtester.arrays import frozen
from backtester.data.columns import bars_of, codes_of, symbols_of, timestamps_of
from backtester.errors import StrategyError
from backtester.strategy.series import Bar, BarSlice, by_symbol, no_bars

Trailing = Callable[[], list[tuple[date, pa.Table]]]


class Past:
    """Trailing sessions, read from the store when first asked for.

    load     gives (date, BARS) of each session, oldest first
    symbols  of this session, whose places are the codes
    before   the open: no bar of the past ends after it
    """

    def __init__(self, load: Trailing, symbols: list[str], *, before: int) -> None:
        self._load = load
        self._symbols = symbols
        self._before = before
        self._sessions: list[dict[int, BarSlice]] | None = None
        self._appended: dict[int, list[Bar]] = {}
        self._joined: dict[tuple[int, int | None], BarSlice] = {}
        self._cleared: set[int] = set()

    def bars(self, code: int, sessions_back: int | None) -> BarSlice:
        """A symbol's bars of the last `sessions_back` sessions (None: of all), then those appended."""
        found = self._joined.get((code, sessions_back))
        if found is None:
            found = self._joined[code, sessions_back] = self._join(code, sessions_back)
        return found

    def append(self, code: int, bar: Bar) -> None:
        """Add a bar after those that are there; StrategyError if it is not later than they, or not of the past."""
        held = self.bars(code, None)
        latest = int(held.timestamp[-1]) if held.rows else None
        if bar.known_at > self._before:
            raise StrategyError(
                f"{bar.symbol}: a bar that ends {bar.known_at} is no history of a session that opens {self._before}"
            )
        if latest is not None and bar.timestamp <= latest:
            raise StrategyError(
                f"{bar.symbol}: a bar of {bar.timestamp} cannot follow one of {latest}; append in time order"
            )
        self._appended.setdefault(code, []).append(bar)
        self._forget_joined(code)

    def clear(self, code: int | None) -> None:
        """Forget what is there, of one symbol or of all."""
        for each in range(len(self._symbols)) if code is None else [code]:
            self._cleared.add(each)
            self._appended.pop(each, None)
            self._forget_joined(each)

    def _forget_joined(self, code: int) -> None:
        for key in [key for key in self._joined if key[0] == code]:
            del self._joined[key]

    def _join(self, code: int, sessions_back: int | None) -> BarSlice:
        sessions = self._stored() if code not in self._cleared else []
        if sessions_back is not None:
            sessions = sessions[max(len(sessions) - sessions_back, 0) :]
        parts = [held[code] for held in sessions if code in held]
        appended = self._appended.get(code, [])
        if appended:
            columns = zip(*(bar[1:7] for bar in appended), strict=True)
            first = np.array(next(columns), dtype=np.int64)
            parts.append(BarSlice(first, *(np.array(column, dtype=np.float64) for column in columns)))
        if not parts:
            return no_bars()
        return BarSlice(*(frozen(np.concatenate(column)) for column in zip(*parts, strict=True)))

    def _stored(self) -> list[dict[int, BarSlice]]:
        if self._sessions is None:
            self._sessions = [self._by_symbol(bars) for _, bars in self._load()]
        return self._sessions

    def _by_symbol(self, bars: pa.Table) -> dict[int, BarSlice]:
        if not bars.num_rows:
            return {}
        names = symbols_of(bars).to_pylist()
        place = {name: code for code, name in enumerate(self._symbols)}
        codes = codes_of(bars)
        order, ends = by_symbol(codes, len(names))
        whole = BarSlice(frozen(timestamps_of(bars)[order]), *(frozen(column[order]) for column in bars_of(bars)))
        spans = zip(names, [0, *ends.tolist()[:-1]], ends.tolist(), strict=True)
        return {place[name]: whole.cut(low, high) for name, low, high in spans if name in place and high > low}
