"""Compiled steps beside the same strategy in columns: the same fills and equity to the byte first, then CPU time.

Bars and indicators are laid out before. A step decides and trades in one; of the strategy in columns the ledger alone
is taken, its requests being made before, and the signals beside it.
"""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np

from backtester.arrays import Bars, Float64, Requests, Running
from backtester.config.execution import Execution, Limits
from backtester.execution import clock as clocks
from backtester.execution.requests import joined
from backtester.execution.rules import rules_of
from backtester.execution.simulate import Ledger, Simulation
from backtester.features.rows import Rows
from backtester.kernels import jit, state
from backtester.kernels.stepping import Stepper
from backtester.strategy import columns as in_columns
from backtester.strategy import step as steps
from backtester.strategy.loading import Loaded, load
from bench.bench_replay import BARS, days_of, session_labels, timed

FAST, SLOW = 20, 50
BAR = 1.5
EXECUTION = Execution(capital=1e6, size_unit="units", size_amount=10.0)


def main(*, quick: bool = False) -> None:
    """Print nanoseconds a bar, and the ratio."""
    jit.compiled()
    print(f"compiled steps: SMA {FAST}/{SLOW} as a step, and in columns over the same indicators")
    column = _loaded("samples")
    for symbols, sessions in ((1, 20), (5, 4)) if quick else ((1, 252), (100, 20)):
        days, closes = days_of(symbols, sessions)
        days = [_whole(day) for day in days]
        averages = _averages(closes, sessions)
        stepping = steps.stepping_of(_loaded("step_samples"), sorted(averages[0]))
        begun = time.process_time()
        _by_session(days, averages, stepping=stepping)
        print(f"  {symbols} x {sessions}: first use {time.process_time() - begun:.2f} s")
        rows = symbols * sessions * BARS

        def asked(days: list[Rows] = days, averages: list[dict[str, Float64]] = averages) -> list[Requests]:
            return [in_columns.requests(column, *given) for given in zip(days, averages, strict=True)]

        deciding, wishes = timed(asked, repeats=3)
        for name, run in (("session by session", _by_session), ("in one clock", _at_once)):
            plain, expected = timed(lambda run=run, days=days, wishes=wishes: run(days, wishes), repeats=5)
            step, done = timed(
                lambda run=run, days=days, averages=averages, stepping=stepping: run(days, averages, stepping=stepping),
                repeats=5,
            )
            assert _bytes(done) == _bytes(expected)
            fills = sum(len(each.written.fills) for each in done)
            told = f"{fills:,} fills, ledger {1e9 * plain / rows:.1f} ns a bar, step {1e9 * step / rows:.1f}"
            ratio = f"{step / plain:.2f} (bar {BAR}), {step / (plain + deciding):.2f} of ledger and signals"
            print(f"    {name:18} {told}: {ratio}")


def _loaded(module: str) -> Loaded:
    use = f"backtester.strategy.{module}:SmaCross"
    return load(use, {"fast": FAST, "slow": SLOW}, folder=Path.cwd())


def _whole(day: Rows) -> Rows:
    """The rows with what the pass would have counted; neither strategy reads it."""
    nothing = np.zeros(len(day.label))
    running = Running(nothing, nothing, nothing, nothing, nothing.astype(np.int32))
    missing = nothing.astype(np.int32)
    return day._replace(running=running, missing_before=missing, missing_after=missing, quality_pct=nothing)


def _averages(closes: Float64, sessions: int) -> list[dict[str, Float64]]:
    """Each session's averages and those a bar before, a value a row."""
    found: dict[str, Float64] = {}
    for key, period in (("fast", FAST), ("slow", SLOW)):
        total = np.concatenate((np.zeros((len(closes), 1)), np.cumsum(closes, axis=1)), axis=1)
        average = np.full(closes.shape, np.nan)
        average[:, period - 1 :] = (total[:, period:] - total[:, :-period]) / period
        before = np.concatenate((np.full((len(closes), 1), np.nan), average[:, :-1]), axis=1)
        found |= {key: average, f"{key}_before": before}
    return [
        {key: np.ascontiguousarray(values[:, s * BARS : (s + 1) * BARS].T).ravel() for key, values in found.items()}
        for s in range(sessions)
    ]


def _rules(days: list[Rows]) -> Any:
    return rules_of(EXECUTION, Limits(), symbols=days[0].symbols.to_pylist())


def _by_session(days: list[Rows], given: list[Any], *, stepping: steps.Stepping | None = None) -> list[Simulation]:
    """A ledger a session, as in a run; given are requests, or a step's indicators."""
    rules, symbols = _rules(days), len(days[0].symbols)
    account, done = state.new_state(symbols, EXECUTION.capital), []
    for (before, day), wishes in zip(itertools.pairwise([None, *days]), given, strict=True):
        clock = clocks.clock_of([session_labels(day)], before=None if before is None else before.session.date)
        market = clocks.market_of(day.bars, day.codes)
        if stepping is None:
            ledger = Ledger(clock, market, rules=rules, state=account, expected=len(wishes.label))
            ledger.run(wishes)
        else:
            stepper = steps.stepper_of(stepping, day, wishes, np.zeros((symbols, 0)))
            ledger = Ledger(clock, market, rules=rules, state=account, stepper=stepper)
            ledger.run()
        done.append(ledger.done())
        account = done[-1].state
    return done


def _at_once(days: list[Rows], given: list[Any], *, stepping: steps.Stepping | None = None) -> list[Simulation]:
    """One ledger for all; what it works on is joined before, once."""
    clock, market = _joined_days(days)
    symbols = len(days[0].symbols)
    account = state.new_state(symbols, EXECUTION.capital)
    if stepping is None:
        wishes = _joined_wishes(given)
        ledger = Ledger(clock, market, rules=_rules(days), state=account, expected=len(wishes.label))
        ledger.run(wishes)
    else:
        stepper = Stepper(stepping.loop, _joined_columns(given), room=8 * symbols, numbers=np.zeros(5))
        ledger = Ledger(clock, market, rules=_rules(days), state=account, stepper=stepper)
        ledger.run()
    return [ledger.done()]


_kept: dict[int, tuple[Any, Any]] = {}


def _once(make: Any, given: list[Any]) -> Any:
    """What is made of a list, made once while the list is."""
    if id(given) not in _kept or _kept[id(given)][0] is not given:
        _kept[id(given)] = given, make(given)
    return _kept[id(given)][1]


def _joined_days(days: list[Rows]) -> Any:
    def make(days: list[Rows]) -> Any:
        bars = Bars(*(np.concatenate(columns) for columns in zip(*(day.bars for day in days), strict=True)))
        market = clocks.market_of(bars, np.concatenate([day.codes for day in days]))
        return clocks.clock_of([session_labels(day) for day in days]), market

    return _once(make, days)


def _joined_wishes(given: list[Requests]) -> Requests:
    def make(given: list[Requests]) -> Requests:
        return joined([each._replace(label=each.label + BARS * s) for s, each in enumerate(given)])

    made: Requests = _once(make, given)
    return made


def _joined_columns(given: list[dict[str, Float64]]) -> list[Float64]:
    def make(given: list[dict[str, Float64]]) -> list[Float64]:
        own = [np.concatenate([each[key] for each in given]) for key in sorted(given[0])]
        nothing = np.zeros(len(own[0]))
        counts = nothing.astype(np.int32)
        return [nothing, nothing, nothing, nothing, counts, nothing, counts, *own]

    made: list[Float64] = _once(make, given)
    return made


def _bytes(done: list[Simulation]) -> list[bytes]:
    return [
        b"".join(np.ascontiguousarray(column).tobytes() for column in (*each.written, each.marks, each.sessions))
        for each in done
    ]


if __name__ == "__main__":
    main()
