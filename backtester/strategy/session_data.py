"""SessionData: a session as it is known at the clock, over the session's columns.

Whatever is read was known at `clock` or before; moving the clock is the runner's affair and goes forward only. While
the session is inactive, and for a symbol that is not (or no longer) taken part of it, reads give nothing: None, 0 bars.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

import numpy as np

from backtester.arrays import Float64
from backtester.errors import StrategyError
from backtester.features.rows import Rows
from backtester.interval import Interval
from backtester.strategy.past import Past, Trailing
from backtester.strategy.series import Bar, BarSlice, Clock, Columns, no_bars
from backtester.strategy.symbol_data import Gap, SessionMetrics, SymbolData, View


class SessionData:
    """One session at the clock; a new one begins with every session, so nothing survives into the next.

    derived     bars of wider intervals by the interval's name
    symbols     those taken part of from the open on, all by default; others can be added while the session goes
    trailing    gives the sessions before this one as (date, BARS), oldest first; asked once, when first read
    indicators  per key one value per row, as known with that row
    historical  per key one value per symbol, as known before the open
    """

    def __init__(
        self,
        rows: Rows,
        interval: Interval,
        *,
        derived: Mapping[str, Columns] | None = None,
        symbols: Iterable[str] | None = None,
        trailing: Trailing = list,
        indicators: Mapping[str, Float64] | None = None,
        historical: Mapping[str, Float64] | None = None,
    ) -> None:
        names: list[str] = rows.symbols.to_pylist()
        self.session = rows.session
        self._codes = {name: code for code, name in enumerate(names)}
        self._selected = rows.selected
        labels = rows.grid.labels
        begins = rows.session.open_at if not len(labels) else min(rows.session.open_at, int(labels[0]))
        self._clock = Clock(begins)
        self._locked: set[str] = set()
        past = Past(trailing, names, before=rows.session.open_at)
        self._view = View(rows, str(interval), self._clock, past, derived or {}, indicators or {}, historical or {})
        # Made when first asked for: most strategies hold on to few of many symbols.
        self._seen: dict[str, SymbolData | None] = dict.fromkeys(names)
        if symbols is not None:
            self._seen = {self._known(name): None for name in symbols}
        # Those that take no part now; the runner, which looks at every bar, keeps the set itself.
        self.absent = set(names) - set(self._seen)

    @property
    def clock(self) -> int:
        """The instant everything is known up to, UTC microseconds."""
        return self._clock.now

    @property
    def hand(self) -> Clock:
        """The clock itself, for the runner that moves it at every label; a strategy has no use for it."""
        return self._clock

    def advance(self, now: int) -> None:
        """Move the clock to `now`; StrategyError if that is before it."""
        if now < self._clock.now:
            raise StrategyError(f"the clock of a session goes forward only; it is {self._clock.now}, asked for {now}")
        self._clock.now = now

    # The session.

    def set_session_active(self, is_active: bool) -> None:
        """Let reads through, or give nothing to anyone."""
        self._clock.is_active = is_active

    def activate_session(self) -> None:
        """Let reads through."""
        self._clock.is_active = True

    def deactivate_session(self) -> None:
        """Give nothing until activated again."""
        self._clock.is_active = False

    def is_session_active(self) -> bool:
        """True while reads give what is known."""
        return self._clock.is_active

    # Symbols.

    def get_active_symbols(self) -> list[str]:
        """The symbols that can be read now, sorted; none while the session is inactive."""
        return sorted(self._seen) if self._clock.is_active else []

    def selected(self) -> list[str]:
        """The symbols the scanners have selected by now, sorted; without scanners all active ones."""
        if self._selected is None:
            return self.get_active_symbols()
        scan = int(np.searchsorted(self._selected.instants, self._clock.now, side="right")) - 1
        if scan < 0 or not self._clock.is_active:
            return []
        return [name for name, code in self._codes.items() if self._selected.is_selected[scan, code]]

    def get_symbol_data(self, symbol: str) -> SymbolData | None:
        """One symbol's side of the session, any case; None if it gives nothing now."""
        if not self._clock.is_active:
            return None
        found = self._seen.get(symbol)
        if found is None:
            name = self._known(symbol)
            if name in self._seen:
                found = self._seen[name] = self._seen[name] or SymbolData(self._view, name, self._codes[name])
        return found

    def add_symbol(self, symbol: str, *, from_open: bool = False) -> SymbolData:
        """Take a symbol of the universe into the session from now on: of its bars those known now or later are seen.

        from_open  see today's earlier bars too; its trailing sessions and historical values are seen in any case
        """
        name = self._known(symbol)
        was_in = name in self._seen
        own = self._seen[name] = self._seen.get(name) or SymbolData(self._view, name, self._codes[name])
        self.absent.discard(name)
        if not was_in and not from_open:
            own.see_from(self._clock.now)
        return own

    def remove_symbol(self, symbol: str) -> bool:
        """Take a symbol out: its reads give nothing from now on. False if it was not in; StrategyError if locked."""
        name = self._known(symbol)
        if name in self._locked:
            raise StrategyError(f"{name} is locked; close its position and unlock it before it is removed")
        if name not in self._seen:
            return False
        gone = self._seen.pop(name)
        self.absent.add(name)
        if gone is not None:
            gone.leave()
        return True

    def lock_symbol(self, symbol: str) -> None:
        """Refuse the removal of a symbol."""
        self._locked.add(self._known(symbol))

    def unlock_symbol(self, symbol: str) -> None:
        """Allow the removal of a symbol."""
        self._locked.discard(self._known(symbol))

    def is_symbol_locked(self, symbol: str) -> bool:
        """True if a symbol cannot be removed."""
        return self._known(symbol) in self._locked

    # Reads, by the seed's names; each is what SymbolData gives, and nothing where the symbol gives nothing.

    def get_latest_bar(self, symbol: str, interval: str | None = None) -> Bar | None:
        """The latest bar that is known."""
        own = self.get_symbol_data(symbol)
        return None if own is None else own.latest(interval)

    def get_latest_bars_multi(self, symbols: Iterable[str], interval: str | None = None) -> dict[str, Bar | None]:
        """The latest bar of each symbol."""
        return {symbol: self.get_latest_bar(symbol, interval) for symbol in symbols}

    def get_last_n_bars(self, symbol: str, count: int, interval: str | None = None) -> BarSlice:
        """The last `count` bars that are known, fewer if there are fewer."""
        own = self.get_symbol_data(symbol)
        return no_bars() if own is None else own.last(count, interval)

    def get_bars_since(self, symbol: str, timestamp: int, interval: str | None = None) -> BarSlice:
        """The bars labelled `timestamp` or later."""
        own = self.get_symbol_data(symbol)
        return no_bars() if own is None else own.since(timestamp, interval)

    def get_bars(self, symbol: str, interval: str | None = None) -> BarSlice:
        """Every bar of this session that is known."""
        own = self.get_symbol_data(symbol)
        return no_bars() if own is None else own.bars(interval)

    def get_bar_count(self, symbol: str, interval: str | None = None) -> int:
        """How many bars of this session are known."""
        own = self.get_symbol_data(symbol)
        return 0 if own is None else own.count(interval)

    def get_historical_bars(self, symbol: str, sessions_back: int | None = None) -> BarSlice:
        """The source bars of the trailing sessions, of the last `sessions_back` of them if given."""
        own = self.get_symbol_data(symbol)
        return no_bars() if own is None else own.history(sessions_back)

    def get_session_metrics(self, symbol: str) -> SessionMetrics | None:
        """Running volume, high, low and VWAP, bars and quality so far."""
        own = self.get_symbol_data(symbol)
        return None if own is None else own.metrics()

    def session_volume(self, symbol: str) -> float | None:
        """The volume so far, 0 before the first bar."""
        own = self.get_symbol_data(symbol)
        return None if own is None else own.volume

    def session_high(self, symbol: str) -> float | None:
        """The highest price so far, None before the first bar."""
        own = self.get_symbol_data(symbol)
        return None if own is None else own.high

    def session_low(self, symbol: str) -> float | None:
        """The lowest price so far, None before the first bar."""
        own = self.get_symbol_data(symbol)
        return None if own is None else own.low

    def get_gaps(self, symbol: str) -> list[Gap]:
        """The missing bars so far, in runs."""
        own = self.get_symbol_data(symbol)
        return [] if own is None else own.gaps()

    def get_quality_metric(self, symbol: str) -> float | None:
        """100 x present / expected bars so far, 100 before the first is expected; or what `set_quality` said."""
        own = self.get_symbol_data(symbol)
        return None if own is None else own.quality_pct

    def get_indicator(self, symbol: str, key: str) -> float | None:
        """A session indicator with the latest bar; None before the first bar and where it is not warm."""
        own = self.get_symbol_data(symbol)
        return None if own is None else own.indicator(key)

    def get_historical_indicator(self, symbol: str, key: str) -> float | None:
        """A historical indicator; None where there is too little history."""
        own = self.get_symbol_data(symbol)
        return None if own is None else own.historical(key)

    def get_all_historical_indicators(self, symbol: str) -> dict[str, float]:
        """Every historical indicator that has a value."""
        own = self.get_symbol_data(symbol)
        return {} if own is None else own.all_historical()

    # Writes of the strategy's own; they change nothing but what is read here, from now on.

    def set_quality(self, symbol: str, quality_pct: float | None) -> None:
        """Say a symbol's quality in place of the counted one; None goes back to counting."""
        if quality_pct is not None and not 0.0 <= quality_pct <= 100.0:
            raise StrategyError(f"quality_pct of {symbol} is {quality_pct}; expected 0 to 100")
        code = self._codes[self._known(symbol)]
        if quality_pct is None:
            self._view.said_quality.pop(code, None)
        else:
            self._view.said_quality[code] = quality_pct

    def set_historical_indicator(self, symbol: str, key: str, value: float) -> None:
        """Say a historical indicator's value, of a known key or a new one."""
        self._view.historical.setdefault(key, {})[self._codes[self._known(symbol)]] = value

    def append_bar(self, symbol: str, bar: Bar) -> None:
        """Add a source bar to a symbol's history, after what is there; StrategyError unless over before the open."""
        self._view.past.append(self._codes[self._known(symbol)], bar)

    def clear_session_bars(self, symbol: str | None = None) -> None:
        """Forget the bars so far, of all symbols by default: counts, running values and gaps begin anew."""
        for name in list(self._seen) if symbol is None else [self._known(symbol)]:
            if name in self._seen:
                self.add_symbol(name).see_from(self._clock.now + 1)

    def clear_historical_bars(self, symbol: str | None = None) -> None:
        """Forget the trailing sessions, of all symbols by default."""
        self._view.past.clear(None if symbol is None else self._codes[self._known(symbol)])

    def _known(self, symbol: str) -> str:
        if symbol in self._codes:
            return symbol
        folded = {name.upper(): name for name in reversed(self._codes)}
        found = folded.get(symbol.upper())
        if found is None:
            near = difflib.get_close_matches(symbol.upper(), folded, n=1)
            meant = f"did you mean {folded[near[0]]}?" if near else "name it in run.symbols"
            raise StrategyError(f"{symbol!r} is no symbol of this session; {meant}")
        return found
