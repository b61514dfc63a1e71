"""Session indicators: on paper, against their twins, against the future, and cut anywhere."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtester.features.catalog import Indicator, indicators, uses_of
from backtester.features.foreign import find
from backtester.features.indicators import indicator_columns
from backtester.kernels import jit
from tests.features.bars_made import YEAR, made, placed, run_sessions, same_bits, small_uses, stretches, twin
from tests.reference_indicators import Bar, Decimal

NAMES = list(indicators())
# One division or comparison of whole numbers: the twin's number, rounded once.
TO_THE_BIT = {"sma", "wma", "twap", "mom", "volume_sma", "high_low", "donchian", "swing_high", "swing_low",
              "opening_range", "obv"}  # fmt: skip


def bars(*closes, spread=1):
    return [Bar(*map(Decimal, (c, c + spread, c - spread, c)), Decimal(10 * (k + 1))) for k, c in enumerate(closes)]


def values_of(name, rows, **parameters):
    uses, problems = uses_of([{"name": name, "key": "x", **parameters}], run_interval="1m")
    assert not problems
    return run_sessions(uses, [[rows]])["x"][0]


ON_PAPER = [
    ("sma", {"period": 2}, [[None, 11, 13]]),
    ("wma", {"period": 2}, [[None, (10 + 24) / 3, (12 + 28) / 3]]),
    ("ema", {"period": 2}, [[None, 11, 11 + (14 - 11) * 2 / 3]]),
    ("rsi", {"period": 2}, [[None, None, 100.0]]),
    ("mom", {"period": 1}, [[None, 2, 2]]),
    ("roc", {"period": 1}, [[None, 20.0, 100 * 2 / 12]]),
    ("stddev", {"period": 2}, [[None, 1, 1]]),
    ("obv", {}, [[0, 20, 50]]),
    ("vwap", {}, [[10, (100 + 240) / 30, (100 + 240 + 420) / 60]]),
    ("twap", {}, [[10, 11, 12]]),
    ("atr", {"period": 2}, [[None, None, 3]]),
    ("williams_r", {"period": 2}, [[None, -25, -25]]),
    ("high_low", {"period": 2}, [[None, 13, 15], [None, 9, 11]]),
    ("volume_ratio", {"period": 2}, [[None, 20 / 15, 30 / 25]]),
]


@pytest.mark.parametrize(("name", "parameters", "expected"), ON_PAPER, ids=[case[0] for case in ON_PAPER])
def test_three_bars_on_paper(name, parameters, expected):
    found = values_of(name, bars(10, 12, 14), **parameters)

    assert found == pytest.approx(np.array(expected, dtype=float), rel=1e-15, nan_ok=True)


def test_equal_averages_are_equal_whatever_came_before():
    # As floats, sums of these prices differ in the last bit with the path that led to them.
    closes = [Decimal(str(c)) for c in (99999.99, 0.07, 0.1, 0.2, 0.3, 0.3, 0.2, 0.1)]
    rows = [Bar(c, c, c, c, Decimal(1)) for c in closes]

    found = values_of("sma", rows, period=3)[0]
    short, long = values_of("sma", rows[2:], period=3)[0], values_of("sma", rows[2:], period=6)[0]

    assert found[4] == found[7] == 0.2
    assert short[5] == long[5] == 0.2
    assert values_of("stddev", rows, period=3)[0][7] == values_of("stddev", rows[5:], period=3)[0][2]


@pytest.mark.parametrize("name", NAMES)
@given(stretch=stretches())
@settings(max_examples=25)
def test_an_indicator_equals_its_twin(name, stretch):
    uses = small_uses(name)

    found = run_sessions(uses, [stretch])

    for use in uses:
        for rows, got in zip(placed(stretch), found[use.key], strict=True):
            close_to(name, got, twin(use, rows), rows)


@pytest.mark.parametrize("name", [name for name in NAMES if "continuous" in indicators()[name].scopes])
@given(stretch=stretches(symbols=(2, 2), most=30), data=st.data())
@settings(max_examples=20)
def test_continuous_scope_goes_on_over_sessions(name, stretch, data):
    uses = continuous(name)
    cuts = sorted(data.draw(st.lists(st.integers(0, 30), min_size=2, max_size=4)))
    sessions = [[rows[a:b] for rows in stretch] for a, b in zip([0, *cuts], [*cuts, None], strict=True)]

    found = run_sessions(uses, sessions)

    parts = [placed(session, k) for k, session in enumerate(sessions)]
    for use in uses:
        for s, got in enumerate(found[use.key]):
            rows = [bar for part in parts for bar in part[s]]
            close_to(name, got, twin(use, rows), rows)


@pytest.mark.parametrize("name", [n for n in NAMES if "continuous" in indicators()[n].scopes and n != "pivot_points"])
@given(stretch=stretches(symbols=(1, 2), most=24), lag=st.integers(0, 3))
@settings(max_examples=4)
def test_sessions_cut_anywhere_give_the_same_bits(name, stretch, lag):
    uses = continuous(name, lag=lag)

    whole = run_sessions(uses, [stretch])

    longest = max(map(len, stretch))
    for cut in range(longest + 1):
        again = run_sessions(uses, [[rows[:cut] for rows in stretch], [rows[cut:] for rows in stretch]])
        for use in uses:
            for a, b in zip(whole[use.key], again[use.key], strict=True):
                assert same_bits(a, b), (use, cut)


@pytest.mark.parametrize("name", NAMES)
@given(stretch=stretches(symbols=(2, 2), most=30), data=st.data())
@settings(max_examples=12)
def test_an_indicator_never_looks_ahead(name, stretch, data):
    uses = small_uses(name)
    series = made(stretch)
    now = data.draw(st.integers(0, 31)) * 60_000_000
    is_past = series.known_at <= now
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    poison = data.draw(st.sampled_from(["nan", "times", "random"]))

    def poisoned(column):
        future = {"nan": np.full(len(column), np.nan), "times": column * 1.5, "random": random.random(len(column)) * 99}
        return np.where(is_past, column, future[poison])

    changed = series._replace(bars=type(series.bars)(*map(poisoned, series.bars)))
    before = indicator_columns(uses, {"1m": series}, bars_a_year={"1m": YEAR}).values
    after = indicator_columns(uses, {"1m": changed}, bars_a_year={"1m": YEAR}).values
    prefix = indicator_columns(
        uses, {"1m": made([rows[: int(now // 60_000_000)] for rows in stretch])}, bars_a_year={"1m": YEAR}
    ).values

    for column, values in before.items():
        assert same_bits(values[is_past], after[column][is_past])
        assert same_bits(values[is_past], prefix[column])


@pytest.mark.parametrize("name", NAMES)
def test_the_warmup_is_the_first_bar_with_every_value(name):
    random = np.random.default_rng(7)
    closes = (1000 + random.integers(-9, 10, 60)).tolist()
    indicator: Indicator = indicators()[name]
    if name in ("swing_high", "swing_low", "pivot_points", "opening_range"):
        pytest.skip("these have values by what happens, not from a bar on")
    for use in small_uses(name):
        found = run_sessions([use], [[bars(*closes)]])[use.key][0]

        full = np.flatnonzero(~np.isnan(found).any(axis=0))

        assert full[0] + 1 == indicator.warmup(use.values)
        assert len(full) == 60 - full[0]


@pytest.mark.parametrize("name", NAMES)
def test_compiled_and_plain_python_give_the_same_bits(name, monkeypatch):
    random = np.random.default_rng(11)
    stretch = [bars(*(3000 + np.cumsum(random.integers(-9, 10, n))).tolist(), spread=3) for n in (0, 57, 80, 3)]
    sessions = [[rows[:cut] for rows in stretch] for cut in (40,)] + [[rows[40:] for rows in stretch]]
    uses = (
        small_uses(name)[:1] + continuous(name)[-1:] if "continuous" in indicators()[name].scopes else small_uses(name)
    )
    uses = [use.__class__(**{**vars(use), "key": f"k{k}", "columns": tuple(f"k{k}{c}" for c in use.columns)})
            for k, use in enumerate(uses)]  # fmt: skip
    plain = run_sessions(uses, sessions)

    monkeypatch.setattr(jit._Mode, "compiled", False)
    jit.compiled()
    machine = run_sessions(uses, sessions)

    for use in uses:
        for a, b in zip(plain[use.key], machine[use.key], strict=True):
            assert same_bits(a, b)


def test_a_users_kernel_compiled_gives_the_same_bits(monkeypatch):
    raw = [{"name": "tests.features.my_indicators:streak", "key": "x", "scope": "continuous"}]
    uses, problems = uses_of(raw, run_interval="1m", find=find)
    assert not problems
    random = np.random.default_rng(5)
    rows = [bar._replace(open=bar.close + int(random.integers(-1, 2))) for bar in bars(*range(50, 90))]
    plain = run_sessions(uses, [[rows[:7]], [rows[7:]]])["x"][0]

    monkeypatch.setattr(jit._Mode, "compiled", False)
    jit.compiled()
    machine = run_sessions(uses, [[rows[:7]], [rows[7:]]])["x"][0]

    assert same_bits(plain, machine)
    assert plain.max() >= 2.0


def continuous(name, **more):
    """The small uses in continuous scope, those that allow it."""
    if name == "vwap":
        raw = [{"name": "vwap", "period": 5, "key": "vwap0", "scope": "continuous", **more}]
        return uses_of(raw, run_interval="1m")[0]
    return small_uses(name, scope="continuous", **more)


def close_to(name, found, expected, rows):
    """The same number, rounded once; or within 1e-12 of it and of the prices it is made of."""
    if name in TO_THE_BIT:
        assert same_bits(found, expected)
        return
    largest = max([0.0, *(float(bar.high) for bar in rows)])
    if name == "pvt":
        largest = max([0.0, *(float(bar.volume) for bar in rows)]) * len(rows)
    if name in ("rsi", "stochastic", "williams_r", "ultimate_osc", "adx", "mfi", "roc", "natr", "volume_ratio", "cci"):
        largest = 100.0
    atol = 1e-13 * largest
    if name == "histvol":
        # Where all returns are nearly the same their spread is what is left of a difference of squares.
        closes = [float(bar.close) for bar in rows]
        steps = [abs(math.log(b / a)) for a, b in pairwise(closes)]
        atol = 2e-8 * max([0.0, *steps]) * 100.0 * math.sqrt(YEAR)
    assert np.allclose(found, expected, rtol=1e-12, atol=atol, equal_nan=True)
