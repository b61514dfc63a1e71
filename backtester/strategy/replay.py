"""A session row by row: an event strategy is told each bar when it is known, in time order over all symbols."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice, repeat
from typing import Any

import numpy as np

from backtester.errors import StrategyError
from backtester.features.rows import Rows
from backtester.strategy.events import Desk, callbacks_of
from backtester.strategy.loading import CALLBACKS, where_raised
from backtester.strategy.series import Bar, Columns
from backtester.strategy.session_data import SessionData
from backtester.strategy.symbol_data import GapColumns

Told = Callable[[], None]


def replay_session(
    strategy: Any, rows: Rows, data: SessionData, desk: Desk, *, derived: Mapping[str, Columns], use: str = "strategy"
) -> None:
    """Tell a strategy one session; the desk's clock has this session's labels, no more and no fewer.

    derived  bars of wider intervals by name, narrow to wide
    use      the strategy's name, for errors of its own code
    """
    try:
        _told(strategy, rows, data, desk, derived)
    except (Exception, SystemExit) as error:  # sys.exit() would end the run without a word
        at = f"{np.datetime64(data.clock, 'us')} UTC"
        raise StrategyError(f"strategy {use}, session {rows.session.date}, {at}: {where_raised(error)}") from error


def _told(strategy: Any, rows: Rows, data: SessionData, desk: Desk, derived: Mapping[str, Columns]) -> None:
    has = callbacks_of(strategy, CALLBACKS)
    on_bar, clock, absent = has["on_bar"], data.hand, data.absent
    tells_fills = has["on_fill"] is not None
    after = _after_bars(has, rows, data, desk, derived)
    if has["on_session_start"] is not None:
        has["on_session_start"](data, desk)
    desk.may_ask(True)
    # What is done here for every label is done 100,000 times a second (bench/bench_replay.py): lookups are few.
    for t, (now, bars) in enumerate(zip(rows.label_known_at.tolist(), bars_by_label(rows), strict=True)):
        clock.now = now
        desk.label = t
        # Without on_fill the ledger waits until somebody looks.
        if tells_fills and (desk.is_busy or t == 0):
            desk.open()
            _tell_fills(has["on_fill"], data, desk)
        # A symbol is told until it is removed, and from the label after its adding: whichever comes first of a label.
        late = set(absent) if absent else None
        for bar in bars:
            if (late and bar.symbol in late) or (absent and bar.symbol in absent):
                continue
            on_bar(bar, data, desk)
        if after and t in after:
            for tell in after[t]:
                tell()
        if desk.asked[0] > desk.base:
            desk.close()
    desk.may_ask(False)
    desk.finish()
    if tells_fills:
        _tell_fills(has["on_fill"], data, desk)


def _tell_fills(on_fill: Any, data: SessionData, desk: Desk) -> None:
    for fill in desk.fills():
        on_fill(fill, data, desk)


def bars_by_label(rows: Rows) -> Iterator[Iterable[Bar]]:
    """The bars of each label, made one by one as they are taken; take all of a label before the next."""
    names = rows.symbols.to_pylist()
    symbols = [names[code] for code in rows.codes.tolist()] if len(names) > 1 else repeat(names[0] if names else "")
    columns = (column.tolist() for column in (rows.timestamps, *rows.bars, rows.known_at))
    # A NamedTuple made as the tuple it is: in half the time of calling its class.
    bars = map(tuple.__new__, repeat(Bar), zip(symbols, *columns, strict=False))
    counts = np.bincount(rows.label, minlength=len(rows.label_known_at))
    return zip(bars) if (counts == 1).all() else map(islice, repeat(bars), counts.tolist())


def _after_bars(
    has: Mapping[str, Any], rows: Rows, data: SessionData, desk: Desk, derived: Mapping[str, Columns]
) -> dict[int, list[Told]]:
    """What is told after the bars of a label: derived bars that became known, bars that are missing, the end."""
    told: dict[int, list[Told]] = {}
    names = rows.symbols.to_pylist()
    if has["on_derived_bar"] is not None:

        def tell_derived(bar: Bar, interval: str) -> None:
            if bar.symbol not in data.absent:
                has["on_derived_bar"](bar, interval, data, desk)

        for interval, columns in derived.items():
            labels = np.searchsorted(rows.label_known_at, columns.known_at)
            # Bars that are known only after the session's last label come too late to be told.
            order = np.lexsort((columns.codes, columns.timestamp, labels))
            for k in order[labels[order] < len(rows.label_known_at)].tolist():
                values = [column.item(k) for column in (columns.timestamp, *columns.bars, columns.known_at)]
                bar = Bar._make([names[columns.codes[k]], *values])
                told.setdefault(labels.item(k), []).append(partial(tell_derived, bar, interval))
    if has["on_quality"] is not None:
        due = np.flatnonzero(rows.grid.grid.expected >= 0)
        gaps = GapColumns.of(rows)

        def tell(symbol: str) -> None:
            if (own := data.get_symbol_data(symbol)) is not None and own.quality_pct is not None:
                has["on_quality"](symbol, own.quality_pct, data, desk)

        for code, symbol in enumerate(names):
            for gap in range(gaps.starts[code], gaps.starts[code + 1]):
                for label in due[gaps.first[gap] : gaps.first[gap] + gaps.length[gap]].tolist():
                    told.setdefault(label, []).append(partial(tell, symbol))
    if has["on_session_end"] is not None and len(rows.label_known_at):
        told.setdefault(len(rows.label_known_at) - 1, []).append(partial(has["on_session_end"], data, desk))
    return told
