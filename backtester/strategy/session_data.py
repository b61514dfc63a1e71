"""SessionData: a session as it is known at the clock, over the session's columns.

Whatever is read was known at `clock` or before; moving the clock is the runner's affair and goes forward only. While
the session is inactive, and for a symbol that is not (or no longer) taken part of it, reads give nothing: None, 0 bars.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from datetime import date

import numpy as np
import pyarrow as pa

from backtester.arrays import Float64, Int64
from backtester.data.calendar import Session
from backtester.errors import UsageError
from backtester.features.intraday import Pass
from backtester.interval import Interval
from backtester.strategy.past import Past
from backtester.strategy.series import Bar, BarSlice, Clock, Columns, Series, no_bars
from backtester.strategy.symbol_data import Gap, GapColumns, SessionMetrics, SymbolData, View

Trailing = Callable[[], list[tuple[date, pa.Table]]]


class SessionData:
    """One session at the clock; a new one begins with every session, so nothing survives into the next.

    done        what the pass gave; `derived` are its intervals, from narrow to wide
    symbols     those taken part of from the open on, all by default; others can be added while the session goes
    trailing    gives the sessions before this one as (date, BARS), oldest first; asked once, when first read
    indicators  per key one value per row of the pass, as known with that row
    historical  per key one value per symbol, as known before the open
    """

    def __init__(
        self,
        done: Pass,
        session: Session,
        *,
        interval: Interval,
        derived: list[Interval],
        symbols: Iterable[str] | None = None,
        trailing: Trailing = list,
        indicators: Mapping[str, Float64] | None = None,
        historical: Mapping[str, Float64] | None = None,
    ) -> None:
        names: list[str] = done.symbols.to_pylist()
        self.session = session
        self._clock = Clock(
            min(session.open_at, int(done.grid.labels[0]) if len(done.grid.labels) else session.open_at)
        )
        self._locked: set[str] = set()
        past = Past(trailing, names, before=session.open_at)
        self._view = _view(done, session, interval, derived, self._clock, past, indicators or {}, historical or {})
        self._codes = {name: code for code, name in enumerate(names)}
        self._folded = {name.upper(): name for name in reversed(names)}
        self._seen: dict[str, SymbolData] = {}
        for name in names if symbols is None else symbols:
            self.add_symbol(name, from_open=True)

    @property
    def clock(self) -> int:
        """The instant everything is known up to, UTC microseconds."""
        return self._clock.now

    def advance(self, now: int) -> None:
        """Move the clock to `now`; UsageError if that is before it."""
        if now < self._clock.now:
            raise UsageError(f"the clock of a session goes forward only; it is {self._clock.now}, asked for {now}")
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

    def get_symbol_data(self, symbol: str) -> SymbolData | None:
        """One symbol's side of the session, any case; None if it gives nothing now."""
        if not self._clock.is_active:
            return None
        found = self._seen.get(symbol)
        return found if found is not None else self._seen.get(self._known(symbol))

    def add_symbol(self, symbol: str, *, from_open: bool = False) -> SymbolData:
        """Take a symbol of the universe into the session from now on: of its bars those known now or later are seen.

        from_open  see today's earlier bars too; its trailing sessions and historical values are seen in any case
        """
        name = self._known(symbol)
        if name not in self._seen:
            self._seen[name] = SymbolData(self._view, name, self._codes[name])
            if not from_open:
                self._seen[name].see_from(self._clock.now)
        return self._seen[name]

    def remove_symbol(self, symbol: str) -> bool:
        """Take a symbol out: its reads give nothing from now on. False if it was not in; UsageError if it is locked."""
        name = self._known(symbol)
        if name in self._locked:
            raise UsageError(f"{name} is locked; close its position and unlock it before it is removed")
        gone = self._seen.pop(name, None)
        if gone is not None:
            gone.leave()
        return gone is not None

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
            raise UsageError(f"quality_pct of {symbol} is {quality_pct}; expected 0 to 100")
        code = self._codes[self._known(symbol)]
        if quality_pct is None:
            self._view.said_quality.pop(code, None)
        else:
            self._view.said_quality[code] = quality_pct

    def set_historical_indicator(self, symbol: str, key: str, value: float) -> None:
        """Say a historical indicator's value, of a known key or a new one."""
        self._view.historical.setdefault(key, {})[self._codes[self._known(symbol)]] = value

    def append_bar(self, symbol: str, bar: Bar) -> None:
        """Add a source bar to a symbol's history, after what is there; UsageError unless over before the open."""
        self._view.past.append(self._codes[self._known(symbol)], bar)

    def clear_session_bars(self, symbol: str | None = None) -> None:
        """Forget the bars so far, of all symbols by default: counts, running values and gaps begin anew."""
        for name in list(self._seen) if symbol is None else [self._known(symbol)]:
            if name in self._seen:
                self._seen[name].see_from(self._clock.now + 1)

    def clear_historical_bars(self, symbol: str | None = None) -> None:
        """Forget the trailing sessions, of all symbols by default."""
        self._view.past.clear(None if symbol is None else self._codes[self._known(symbol)])

    def _known(self, symbol: str) -> str:
        if symbol in self._codes:
            return symbol
        found = self._folded.get(symbol.upper())
        if found is None:
            near = difflib.get_close_matches(symbol.upper(), self._folded, n=1)
            meant = f"did you mean {self._folded[near[0]]}?" if near else "name it in run.symbols"
            raise UsageError(f"{symbol!r} is no symbol of this session; {meant}")
        return found


def known_at_of(done: Pass, session: Session, interval: Interval) -> Int64:
    """When the bar of each label is over; in regular hours the close and the break cut it short."""
    labels, is_regular = done.grid.labels, done.grid.hours == "regular"
    if not interval.is_intraday:
        return np.full(len(labels), session.close_at if is_regular else session.over_at, dtype=np.int64)
    known_at: Int64 = labels + interval.us
    if is_regular:
        for start, end in session.segments:
            inside = (labels >= start) & (labels < end)
            known_at[inside] = np.minimum(known_at[inside], end)
    return known_at


def _view(
    done: Pass,
    session: Session,
    interval: Interval,
    derived: list[Interval],
    clock: Clock,
    past: Past,
    indicators: Mapping[str, Float64],
    historical: Mapping[str, Float64],
) -> View:
    symbols = len(done.symbols)
    known_at = known_at_of(done, session, interval)
    starts, ends = done.grid.grid.starts, done.grid.grid.ends
    rows = np.concatenate([np.arange(low, high) for low, high in zip(starts, ends, strict=True)] or [starts])
    bars = type(done.bars)(*(column[rows] for column in done.bars))
    source = Columns(done.codes[rows], done.timestamps[rows], np.repeat(known_at, ends - starts), bars)
    series = {str(interval): Series(source, symbols=symbols, clock=clock)}
    for k, wider in enumerate(derived):
        series[str(wider)] = Series(_derived_columns(done, k), symbols=symbols, clock=clock)
    due = np.searchsorted(done.grid.labels, done.grid.expected_labels)
    return View(
        clock=clock,
        interval=str(interval),
        series=series,
        source_rows=rows[series[str(interval)].order].data,
        running=done.running,
        gaps=GapColumns.of(done.gaps, symbols=symbols, labels=done.grid.expected_labels, known_at=known_at[due]),
        past=past,
        indicators=dict(indicators),
        historical={key: dict(enumerate(values.tolist())) for key, values in historical.items()},
        said_quality={},
    )


def _derived_columns(done: Pass, k: int) -> Columns:
    emitted, windows = done.derived, done.windows[k]
    rows = slice(int(emitted.starts[k]), int(emitted.starts[k] + emitted.rows[k]))
    window = emitted.window[rows]
    bars = type(done.bars)(*(getattr(emitted, name)[rows] for name in type(done.bars)._fields))
    return Columns(emitted.symbol[rows], windows.starts[window], windows.known_at[window], bars)
