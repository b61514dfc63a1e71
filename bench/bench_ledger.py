"""The ledger against raptorbt and vectorbt on the same bars and signals: equal end equity first, then CPU time.

`python -m bench.bench_ledger`: peers that are not there are named and left out. raptorbt comes with the extra `bench`;
vectorbt wants another environment, whose interpreter BENCH_PEERS names. Signals are computed within the time taken; the
clock is laid out before it, once.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from backtester.arrays import Bars, Clock, Grid, Int32, Int64, Market, Requests
from backtester.config.execution import Commission, Execution
from backtester.execution.clock import SessionLabels, clock_of, market_of
from backtester.execution.requests import requests_of
from backtester.execution.rules import rules_of
from backtester.execution.simulate import Simulation, simulate
from backtester.kernels import jit
from backtester.kernels.codes import ENTER, EXIT
from backtester.kernels.jit import kernel
from backtester.kernels.state import Rules, new_state

MINUTE, LABELS = 60_000_000, 390
CAPITAL = 100_000.0
VECTORBT = Path(__file__).with_name("vectorbt_peer.py")


class Case(NamedTuple):
    """Bars of every symbol at every label, [labels, symbols], and the ledger's view of them."""

    open: np.ndarray
    close: np.ndarray
    cents: np.ndarray  # close in ticks
    clock: Clock
    market: Market


def main(*, quick: bool = False) -> None:
    """Print the ratios."""
    jit.compiled()
    single(case(symbols=1, sessions=20 if quick else 252, seed=1))
    shared(case(symbols=10 if quick else 100, sessions=21, seed=2))


def case(*, symbols: int, sessions: int, seed: int) -> Case:
    """A seeded random walk in cents, every bar present."""
    random = np.random.default_rng(seed)
    labels = LABELS * sessions
    close = 10_000 + np.cumsum(random.integers(-6, 7, (labels, symbols)), axis=0)
    close = np.maximum(close, 2_000).astype(np.int64)
    opened = np.vstack((close[:1], close[:-1])) + random.integers(-2, 3, (labels, symbols))
    high = np.maximum(opened, close) + random.integers(0, 4, (labels, symbols))
    low = np.minimum(opened, close) - random.integers(0, 4, (labels, symbols))
    volume = random.integers(100, 10_000, (labels, symbols)).astype(np.float64)
    columns = [np.ascontiguousarray(part).reshape(-1) / 100.0 for part in (opened, high, low, close)]
    bars = Bars(*columns, volume.reshape(-1))
    starts = np.arange(LABELS, dtype=np.int64) * symbols
    grid = Grid(starts, starts + symbols, np.arange(LABELS, dtype=np.int32))
    first = dt.date(2024, 1, 2)
    days = [
        SessionLabels(
            first + dt.timedelta(days=k),
            np.arange(LABELS, dtype=np.int64) * MINUTE + k * 86_400_000_000,
            grid,
            k * 86_400_000_000 + LABELS * MINUTE,
            MINUTE,
            LABELS * symbols,
        )
        for k in range(sessions)
    ]
    codes = np.tile(np.arange(symbols, dtype=np.int32), labels)
    return Case(opened / 100.0, close / 100.0, close, clock_of(days), market_of(bars, codes))


def crosses(cents: np.ndarray, fast: int, slow: int) -> tuple[np.ndarray, np.ndarray]:
    """(labels, is_up) at which the fast average crosses the slow one, by exact sums of ticks; the first is up."""
    at = np.empty(len(cents), dtype=np.int32)
    count = cross_labels(cents, fast, slow, at)
    return at[:count], np.arange(count) % 2 == 0


@kernel
def cross_labels(cents: Int64, fast: int, slow: int, at: Int32) -> int:
    """Write the labels at which the sign of fast average less slow average changes, from the first rise on."""
    quick, steady, count, is_above = 0, 0, 0, True
    for i in range(len(cents)):
        quick += cents[i]
        steady += cents[i]
        if i >= fast:
            quick -= cents[i - fast]
        if i >= slow:
            steady -= cents[i - slow]
        if i < slow - 1:
            continue
        now = slow * quick > fast * steady
        if now != is_above and (now or count > 0):
            at[count] = i
            count += 1
        is_above = now
    return count


def turns(above: np.ndarray, offset: int) -> tuple[np.ndarray, np.ndarray]:
    """Where a flag changes, from the first time it comes true."""
    at = np.flatnonzero(above[1:] != above[:-1]) + 1
    is_up = above[at]
    begin = 0 if is_up.size == 0 or is_up[0] else 1
    return at[begin:] + offset, is_up[begin:]


def asked(at: np.ndarray, is_up: np.ndarray, symbol: np.ndarray | None = None) -> Requests:
    """Entries and exits as requests; one symbol's are sorted already."""
    kind = np.where(is_up, ENTER, EXIT).astype(np.int8)
    symbols = np.zeros(len(at), dtype=np.int32) if symbol is None else symbol
    return requests_of(at.astype(np.int32), symbols, kind, side=1, is_sorted=symbol is None)


def all_in(*, marks: bool) -> Rules:
    """All cash at the next open, 1 bp a fill, fractions allowed, no volume cap; what is not used is off."""
    execution = Execution(
        size_unit="cash_frac", size_amount=1.0, lot=0.0, volume_frac=0.0, commission=Commission(rate=1e-4)
    )
    return rules_of(execution, symbols=["S"], marks=marks, events=marks)


def single(data: Case) -> None:
    """One symbol, then a sweep over it."""
    cents = data.cents[:, 0].copy()
    rules = all_in(marks=True)

    def own() -> Simulation:
        requests = asked(*crosses(cents, 20, 50))
        done = simulate(data.clock, data.market, requests, rules=rules, state=new_state(1, CAPITAL))
        done.equity  # noqa: B018  # computed when it is first asked for
        return done

    done, taken = own(), cpu(own, 30)
    print(f"one symbol, {len(cents):,} bars, {len(done.written.fills):,} fills: {1e3 * taken:.2f} ms")
    if importlib.util.find_spec("raptorbt"):
        peer, peer_cpu = raptorbt(data, cents)
        agree("raptorbt", done.final_equity, peer)
        print(f"  raptorbt {1e3 * peer_cpu:.2f} ms: {peer_cpu / taken:.1f} times as long (bar 15)")
    else:
        print("  raptorbt: NOT COMPARED, it is not installed here (extra `bench`)")
    sweep(data, cents)


def raptorbt(data: Case, cents: np.ndarray) -> tuple[float, float]:
    """(end equity, CPU seconds) of raptorbt."""
    import raptorbt as peer

    config = peer.BacktestConfig(initial_capital=CAPITAL, fees=1e-4, slippage=0.0, fill_timing="next_bar_open")
    market, stamps = data.market, data.clock.timestamp.copy()
    columns = [np.array(column) for column in market[:5]]

    def run() -> float:
        at, is_up = crosses(cents, 20, 50)
        entries, exits = np.zeros(len(cents), dtype=bool), np.zeros(len(cents), dtype=bool)
        entries[at[is_up]] = exits[at[~is_up]] = True
        done = peer.run_single_backtest(stamps, *columns, entries, exits, config=config)
        return float(np.asarray(done.equity_curve())[-1] if callable(done.equity_curve) else done.equity_curve[-1])

    return run(), cpu(run, 10)


def sweep(data: Case, cents: np.ndarray) -> None:
    """400 pairs in a plain loop, no marks: averages once per period, signals and ledger per pair."""
    rules = all_in(marks=False)
    periods = [*range(5, 25), *range(30, 130, 5)]
    sums = np.concatenate(([0], np.cumsum(cents)))
    averages = {p: np.full(len(cents), np.nan) for p in periods}
    for p in periods:
        averages[p][p - 1 :] = (sums[p:] - sums[:-p]) / p
    pairs = [(fast, slow) for fast in periods[:20] for slow in periods[20:]]

    def run() -> None:
        for fast, slow in pairs:
            requests = asked(*turns(averages[fast][slow - 1 :] > averages[slow][slow - 1 :], slow - 1))
            simulate(data.clock, data.market, requests, rules=rules, state=new_state(1, CAPITAL))

    run()
    print(f"  {len(pairs)} pairs: {len(pairs) / cpu(run, 3):,.0f} backtests/s (bar 3,000)")


def shared(data: Case) -> None:
    """Many symbols on one account, 1 % of the cash an entry."""
    labels, symbols = data.cents.shape
    execution = Execution(
        size_unit="cash_frac",
        size_amount=0.01,
        exits_first=False,  # as vectorbt, which goes by column
        lot=0.0,
        volume_frac=0.0,
        capital=1e6,
        commission=Commission(rate=1e-4),
    )
    rules = rules_of(execution, symbols=[f"S{k}" for k in range(symbols)])
    found = [crosses(data.cents[:, k], 20, 50) for k in range(symbols)]

    def own() -> Simulation:
        at = np.concatenate([part for part, _ in found])
        codes = np.repeat(np.arange(symbols, dtype=np.int32), [len(part) for part, _ in found])
        requests = asked(at, np.concatenate([part for _, part in found]), codes)
        done = simulate(data.clock, data.market, requests, rules=rules, state=new_state(symbols, 1e6))
        done.equity  # noqa: B018  # computed when it is first asked for
        return done

    done, taken = own(), cpu(own, 10)
    print(f"{symbols} symbols, {labels * symbols:,} bars, {len(done.written.fills):,} fills: {1e3 * taken:.2f} ms")
    peer = os.environ.get("BENCH_PEERS")
    if peer is None:
        print("  vectorbt: NOT COMPARED, BENCH_PEERS names no interpreter that has it")
        return
    entries, exits = np.zeros((2, labels, symbols), dtype=bool)
    for k, (at, is_up) in enumerate(found):
        entries[at[is_up], k] = exits[at[~is_up], k] = True
    # Signals of one row fill on the next.
    entries, exits = (np.vstack((part[:1] & False, part[:-1])) for part in (entries, exits))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.npz"
        np.savez(path, open=data.open, close=data.close, entries=entries, exits=exits)
        told = subprocess.run([peer, str(VECTORBT), str(path)], check=True, capture_output=True, text=True)
    answer = json.loads(told.stdout.splitlines()[-1])
    agree("vectorbt", done.final_equity, answer["final"])
    print(f"  vectorbt {1e3 * answer['cpu']:.1f} ms: {answer['cpu'] / taken:.1f} times as long (bar 20)")


def agree(peer: str, own: float, other: float) -> None:
    """Stop unless both came to the same end equity."""
    assert abs(own - other) <= 1e-6 * abs(other), f"{peer} ends at {other}, the ledger at {own}"
    print(f"  end equity {own:,.2f}, {peer} {other:,.2f}")


def cpu(work: Callable[[], object], repeats: int) -> float:
    """The least CPU seconds of `repeats` calls."""
    taken = []
    for _ in range(repeats):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return min(taken)


if __name__ == "__main__":
    main()
