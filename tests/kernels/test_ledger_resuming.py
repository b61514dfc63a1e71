"""The ledger stops anywhere and goes on, knows no later bar, runs out of no room, and is the same compiled."""

import marshal
import os

import numpy as np
import pytest

from backtester.config.execution import Commission
from backtester.execution.requests import NOTHING, requests_of
from backtester.execution.rules import rules_of
from backtester.kernels import flat, jit, ledger
from backtester.kernels import state as layout
from backtester.kernels.codes import CONFIGURED, ENTER, EXIT, ORDER, TARGET, UNIT
from tests.ledger_cases import Ledger, Limits, market, same_bytes, settings

SYMBOLS, LABELS = 3, 20
RULES = {
    "volume_frac": 0.2,
    "slippage_bps": 3.0,
    "commission": Commission(per_unit=0.01, minimum=0.5),
    "lots": "fifo",
    "interest_rate": 0.05,
    "borrow_rate": 0.03,
    "leverage": 2.0,
    "end": "close",
}


def busy(seed, sessions=2):
    """A market with holes, and requests of every kind on it."""
    random = np.random.default_rng(seed)
    days = []
    for day in range(sessions):
        rows = []
        for t in range(LABELS):
            for symbol in range(SYMBOLS):
                if random.random() < 0.85:
                    first, last = 100 + random.integers(-300, 300, 2) / 100
                    high, low = max(first, last) + 0.5, min(first, last) - 0.5
                    rows.append((t, symbol, first, high, low, last, int(random.integers(0, 200))))
        days.append((20_000 + day, rows, LABELS))
    count = 30 * sessions
    kind = random.choice([TARGET, ENTER, EXIT, ORDER], count)
    none = np.full(count, np.nan)
    limit, stop = none.copy(), none.copy()
    limit[::3], stop[1::5] = 99.5, 101.0
    asked = requests_of(
        random.integers(0, LABELS * sessions, count),
        random.integers(0, SYMBOLS, count),
        kind,
        unit=np.where(kind == ENTER, CONFIGURED, UNIT),
        amount=random.integers(-20, 20, count).astype(np.float64),
        side=np.where(kind == ENTER, random.choice([-1, 1], count), 0),
        limit=limit,
        stop=stop,
        stop_loss=np.where(random.random(count) < 0.5, 0.01, np.nan),
        take_profit=np.where(random.random(count) < 0.5, 0.012, np.nan),
        fractions=3,
        exit_after_bars=np.where(random.random(count) < 0.3, 3, 0),
    )
    return market(days, flat_by=180_000_000), asked


def ledger_of(where, *, is_last=True):
    clock, bars, symbols = where
    limits = Limits(max_gross=3.0, flat_by="close-3m")
    rules = rules_of(settings(**RULES), limits, symbols=[f"S{k}" for k in range(symbols)])
    return Ledger(clock, bars, rules=rules, state=layout.new_state(symbols, 20_000.0), is_last=is_last)


def plain_ledger(where, *, full=False):
    """A ledger whose rules the plain loop serves; `full`: the other one does."""
    clock, bars, symbols = where
    rules = rules_of(settings(**{**RULES, "lots": "average", "end": "mark"}), symbols=[f"S{k}" for k in range(symbols)])
    ledger = Ledger(clock, bars, rules=rules, state=layout.new_state(symbols, 20_000.0))
    ledger._is_plain = ledger._is_plain and not full
    return ledger


def without_prices(asked):
    """The same requests for market orders only."""
    bare = {name: getattr(NOTHING, name) for name in ("limit", "stop", "stop_loss", "take_profit", "fractions")}
    return asked._replace(**bare, exit_after_bars=NOTHING.exit_after_bars)


def in_two(ledger, first, second):
    """The ledger run over half its labels with some requests, then over the rest with others."""
    ledger.run(first, end=LABELS)
    ledger.run(second, first=LABELS)
    return ledger.done()


def whole(where, asked):
    ledger = ledger_of(where)
    ledger.run(asked)
    return ledger.done()


@pytest.mark.parametrize("seed", range(4))
def test_stopping_at_any_label_changes_no_bit(seed):
    where, asked = busy(seed)
    expected = whole(where, asked)

    assert len(expected.written.fills) > 20
    for cut in range(1, 2 * LABELS):
        ledger = ledger_of(where)
        ledger.run(asked, 0, cut)
        ledger.run(asked, cut)
        assert same_bytes(ledger.done(), expected)


@pytest.mark.parametrize("seed", range(4))
def test_deciding_label_by_label_changes_no_bit(seed):
    where, asked = busy(seed)
    ledger = ledger_of(where)
    for t in range(2 * LABELS):
        ledger.open_label(t)
        rows = np.flatnonzero(asked.label == t)
        part = [column[rows] if len(column) > 1 else column for column in asked]
        names = dict(zip(asked._fields, part, strict=True))
        ledger.close_label(t, requests_of(names.pop("label"), names.pop("symbol"), names.pop("kind"), **names))

    assert same_bytes(ledger.done(), whole(where, asked))


@pytest.mark.parametrize("seed", range(4))
def test_what_happens_by_a_label_is_the_same_whatever_comes_after(seed):
    where, asked = busy(seed)
    clock, bars, symbols = where
    expected = whole(where, asked)
    cut = LABELS + 7
    row = int(clock.starts[cut])
    later = bars._replace(**{name: np.concatenate((getattr(bars, name)[:row], getattr(bars, name)[row:] * 7.0))
                             for name in ("open", "high", "low", "close", "volume")})  # fmt: skip
    changed = ledger_of((clock, later, symbols))
    changed.run(asked)

    known = expected.written.fills[:, layout.FILL_LABEL] < cut
    count = int(known.sum())
    assert changed.done().written.fills[:count].tobytes() == expected.written.fills[:count].tobytes()
    assert changed.done().marks[:, :cut].tobytes() == expected.marks[:, :cut].tobytes()


def asked_halfway(where, asked):
    """The same, asked for what is done at half its labels too, of which there are some fills."""
    ledger = ledger_of(where)
    ledger.run(asked, end=LABELS)
    assert len(ledger.done().written.fills) > 0
    ledger.run(asked, first=LABELS)
    return ledger.done()


def test_a_ledger_goes_on_after_it_was_asked_for_what_is_done():
    assert same_bytes(asked_halfway(*busy(2)), whole(*busy(2)))


def test_room_that_runs_out_loses_nothing():
    where, asked = busy(9, sessions=12)
    expected = whole(where, asked)
    small = ledger_of(where)
    small._log = small._room(1)
    small.run(asked)

    assert len(expected.written.fills) > 100
    assert same_bytes(small.done(), expected)


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT", "0") != "0", reason="needs the compiler")
def test_compiled_code_gives_the_bits_of_plain_python(monkeypatch):
    cases = [busy(seed) for seed in range(20)]
    plain = [whole(*case) for case in cases]
    monkeypatch.setattr(jit._Mode, "compiled", False)
    jit.compiled()

    assert all(same_bytes(whole(*case), expected) for case, expected in zip(cases, plain, strict=True))
    assert same_bytes(asked_halfway(*cases[2]), plain[2])


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT", "0") != "0", reason="needs the compiler")
def test_the_compiled_loop_for_market_orders_gives_the_bits_of_the_full_one_and_of_plain_python(monkeypatch):
    cases = [busy(seed) for seed in range(10)]
    plain = [in_two(plain_ledger(where), without_prices(asked), asked) for where, asked in cases]
    monkeypatch.setattr(jit._Mode, "compiled", False)
    jit.compiled()

    for (where, asked), expected in zip(cases, plain, strict=True):
        bare = without_prices(asked)
        chosen, full = plain_ledger(where), plain_ledger(where, full=True)
        chosen.run(bare, end=LABELS)
        assert chosen._is_plain
        assert chosen.latest_fills(5)[0].shape == (5, layout.FILL_COLUMNS)
        chosen.run(asked, first=LABELS)
        assert not chosen._is_plain
        assert same_bytes(chosen.done(), expected)
        assert same_bytes(in_two(full, bare, asked), expected)


@pytest.mark.parametrize("lots", ["average", "fifo"])
def test_room_follows_what_one_label_needs_however_many_sessions_and_fills_there_were(lots):
    where, asked = busy(9, sessions=12)
    clock, bars, symbols = where
    rules = rules_of(settings(**{**RULES, "lots": lots}), symbols=[f"S{k}" for k in range(symbols)])
    account = layout.new_state(symbols, 20_000.0)
    roomy = layout.new_state(symbols, 20_000.0, room=4096, lots=4096)
    done, expected = [], []
    for _ in range(30):
        for state, kept in ((account, done), (roomy, expected)):
            ledger = Ledger(clock, bars, rules=rules, state=state)
            ledger._log = ledger._room(1)
            ledger.run(asked)
            kept.append(ledger.done())
        account, roomy = done[-1].state, expected[-1].state

    assert sum(len(each.written.fills) for each in done) > 3_000
    assert all(same_bytes(one, other) for one, other in zip(done, expected, strict=True))
    assert len(account.queue) == len(account.orders) <= 1024
    assert len(account.lots) <= 2048


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT", "0") != "0", reason="needs the compiler")
def test_what_an_installation_that_is_gone_left_in_the_cache_is_of_use(monkeypatch, tmp_path):
    monkeypatch.setenv("BACKTESTER_CACHE", str(tmp_path))
    code, *more = flat.step(ledger.asked_at.python)._derived()
    left = marshal.dumps((code.replace(co_filename="/gone/backtester/kernels/ledger.py"), *more))
    (jit.cache_folder() / "asked_at-full.derived").write_bytes(left)

    machine = flat.step(ledger.asked_at.python).entry[0]

    assert machine.py_func.__code__.co_filename == ledger.__file__
