"""A step in the loop: what it sees, what it asks, and that its code is known by all it depends on."""

import math
import os

import numpy as np
import pytest

from backtester.errors import UsageError
from backtester.execution.rules import rules_of
from backtester.execution.steps import simulate_step
from backtester.kernels import jit
from backtester.kernels import state as layout
from backtester.kernels.stepping import digest_of, enter, leave, number, target
from tests.kernels.test_ledger_resuming import busy
from tests.ledger_cases import fills, market, run, same_bytes, settings

LEVEL = 100.5


def over_level(row):
    return row.close > LEVEL


def breakout(row, desk):
    """Enter over the level, leave under it; counts its rows."""
    row.memory[row.symbol, 0] += 1.0
    if over_level(row) and row.position == 0.0:
        enter(row, desk, 1, stop_loss=0.02, fractions=1)
    elif not over_level(row) and row.position > 0.0:
        leave(row, desk)


def greedy(row, desk):
    for units in range(6):
        target(row, desk, float(units))


def ranked(row, desk):
    """The second symbol first."""
    if row.position == 0.0:
        enter(row, desk, 1, rank=float(row.symbol))


def halving(row, desk):
    """Exits in half from the third row on: the plain loop's work until a limit order is asked for."""
    row.memory[row.symbol, 0] += 1.0
    if row.memory[row.symbol, 0] % 3.0 == 0.0:
        target(row, desk, row.memory[row.symbol, 0] % 2.0 * 10.0)
    if row.memory[row.symbol, 0] == 12.0:
        enter(row, desk, 1, limit=row.close)


def raising(row, desk):
    if row.memory[row.symbol, 0] == 3.0:
        raise ValueError("three")
    row.memory[row.symbol, 0] += 1.0


def averaged(row, desk):
    """Follows its columns, as many units as its number says; asks in two ranks."""
    if number(row, 1) > number(row, 0):
        target(row, desk, 4.0, rank=number(row, 1))
    else:
        target(row, desk, 0.0)


def stepped(step, where=None, memory=1, **rules):
    clock, bars, symbols = where or market()
    vector = rules_of(settings(**rules), symbols=[f"S{k}" for k in range(symbols)])
    kept = np.zeros((symbols, memory))
    account = layout.new_state(symbols, 100_000.0)
    columns = [bars.open, bars.close]
    done = simulate_step(step, clock, bars, rules=vector, state=account, columns=columns, memory=kept)
    return done, kept


def test_a_step_trades_as_the_same_requests_do():
    done, memory = stepped(breakout)
    asked = run(
        {"label": 1, "kind": "enter", "side": 1, "stop_loss": 0.02, "fractions": 1},
        {"label": 2, "kind": "exit"},
        {"label": 5, "kind": "enter", "side": 1, "stop_loss": 0.02, "fractions": 1},
    )

    assert fills(done) == [(2, 1, 10.0, 101.0), (3, -1, 10.0, 100.2), (6, 1, 10.0, 103.0)]
    assert same_bytes(done, asked)
    assert memory.tolist() == [[8.0]]


def test_a_step_is_asked_for_every_row_and_the_higher_rank_is_served_first():
    where = market([(20_000, [(0, 0, 10, 10, 10, 10, 9), (0, 1, 10, 10, 10, 10, 9), (1, 0, 10, 10, 10, 10, 9),
                              (1, 1, 10, 10, 10, 10, 9)], None)])  # fmt: skip
    done, _ = stepped(ranked, where)

    assert done.written.fills[:, layout.FILL_SYMBOL].tolist() == [1, 0]


def test_a_step_that_asks_too_much_is_told_so():
    with pytest.raises(UsageError, match="6 requests at one label, room for 4"):
        stepped(greedy)


def test_a_steps_code_is_known_by_its_module_and_what_it_calls_and_reads(monkeypatch):
    known = digest_of(breakout)
    monkeypatch.setattr(breakout, "__module__", "elsewhere")
    assert digest_of(breakout) != known
    monkeypatch.undo()
    monkeypatch.setitem(breakout.__globals__, "LEVEL", 100.6)
    changed = digest_of(breakout)
    monkeypatch.setitem(breakout.__globals__, "over_level", lambda row: row.close >= LEVEL)

    assert len({known, changed, digest_of(breakout)}) == 3


def test_a_step_that_reads_what_could_change_unseen_is_refused(monkeypatch):
    monkeypatch.setitem(breakout.__globals__, "LEVEL", [100.5])

    with pytest.raises(UsageError, match="could change unseen"):
        digest_of(breakout)
    assert math.isfinite(LEVEL[0])


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT", "0") != "0", reason="needs the compiler")
@pytest.mark.parametrize("step", [breakout, ranked, halving, averaged])
def test_a_compiled_step_gives_the_bits_of_plain_python(step, monkeypatch):
    where, _ = busy(3)
    plain, remembered = stepped(step, where, leverage=2.0)
    monkeypatch.setattr(jit._Mode, "compiled", False)
    jit.compiled()
    machine, memory = stepped(step, where, leverage=2.0)

    assert len(plain.written.fills) > 2
    assert same_bytes(machine, plain)
    assert memory.tobytes() == remembered.tobytes()


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT", "0") != "0", reason="needs the compiler")
def test_what_a_compiled_step_raises_is_raised_and_a_new_step_compiles_no_ledger(monkeypatch):
    told = []
    monkeypatch.setattr(jit._Mode, "compiled", False)
    jit.compiled()
    stepped(halving)
    monkeypatch.setattr(jit._Mode, "tell", told.append)

    with pytest.raises(ValueError, match="three"):
        stepped(raising)
    assert told == []


def test_columns_of_other_lengths_than_the_bars_are_refused():
    clock, bars, symbols = market()
    vector = rules_of(settings(), symbols=["S0"])
    account = layout.new_state(symbols, 100_000.0)

    with pytest.raises(UsageError, match=r"columns of \[8, 7\] rows for 8 bars"):
        simulate_step(averaged, clock, bars, rules=vector, state=account, columns=[bars.open, bars.close[1:]])
