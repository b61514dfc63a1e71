"""The look-ahead audit: every planted leak found and told rightly, no false alarm."""

import functools

import numpy as np
import polars as pl
import pytest

from backtester.features.intraday import run_pass
from backtester.features.rows import rows_of
from backtester.interval import Interval
from backtester.strategy import audit
from backtester.strategy.columns import bars_frame
from backtester.strategy.futures import KEYS
from tests.reference import Row
from tests.sessions import MINUTE, OPEN, session, table
from tests.strategy import planted
from tests.strategy.planted import BARS, LAST


@functools.cache
def frames(*, missing=0.0, symbols=2):
    """A session's bars as a strategy gets them, with an average as the run's indicator."""
    random, names, rows = np.random.default_rng(5), [f"S{k}" for k in range(symbols)], []
    for name in names:
        cents = 10_000 + np.cumsum(random.integers(-30, 31, BARS + 1))
        for t in range(BARS):
            if random.random() >= missing:
                first, last = cents[t] / 100.0, cents[t + 1] / 100.0
                top, bottom = max(first, last) + 0.07, min(first, last) - 0.05
                rows.append(Row(OPEN + t * MINUTE, name, first, top, bottom, last, float(random.integers(1, 5000))))
    bars, _ = table(rows, names)
    whole, minute = session(BARS), Interval.parse("1m")
    made = bars_frame(rows_of(run_pass(bars, whole, interval=minute, derived=[]), whole, [], minute))
    average = pl.col("close").rolling_mean(7).over("symbol")
    keys = [pl.col(key) for key in KEYS]
    indicators = made.select(*keys, sma=average, sma_lag1=average.shift(1).over("symbol"))
    return {"bars": made, "indicators": indicators}


def of_strategy(signals):
    """What a strategy makes of frames, with the keys of its rows."""

    def compute(inputs):
        wishes = signals(inputs["bars"], inputs["indicators"].drop(KEYS))
        return {"signals": inputs["bars"].select(KEYS).hstack(wishes)}

    return compute


def of_indicator(expression):
    def compute(inputs):
        return {"indicator": inputs["bars"].select(*KEYS, value=expression.over("symbol"))}

    return compute


LEAKS = {
    **{name: (of_strategy(leak.signals), leak) for name, leak in planted.LEAKY_STRATEGIES.items()},
    **{name: (of_indicator(leak.signals), leak) for name, leak in planted.LEAKY_INDICATORS.items()},
}
CLEAN = {
    **{name: of_strategy(signals) for name, signals in planted.CLEAN_STRATEGIES.items()},
    **{name: of_indicator(expression) for name, expression in planted.CLEAN_INDICATORS.items()},
}


def test_there_are_thirty_of_each():
    assert (len(LEAKS), len(CLEAN)) == (30, 30)


@pytest.mark.parametrize("name", LEAKS)
def test_a_planted_leak_is_found_with_its_column_bar_and_distance(name):
    compute, leak = LEAKS[name]
    inputs = frames()

    found = audit.look_ahead(compute, inputs, cuts=audit.instants_of(inputs)).leaks

    assert [each.column for each in found] == [leak.column]
    assert (found[0].timestamp - OPEN) // MINUTE == leak.bar
    assert found[0].distance_bars == (BARS - 1 - leak.bar if leak.distance == LAST else leak.distance)


@pytest.mark.parametrize("name", LEAKS)
def test_a_planted_leak_is_found_at_every_seventh_bar_too(name):
    compute, leak = LEAKS[name]
    inputs = frames()

    found = audit.look_ahead(compute, inputs, cuts=audit.instants_of(inputs, every=7)).leaks

    assert [each.column for each in found] == [leak.column]


@pytest.mark.parametrize("name", CLEAN)
def test_a_clean_strategy_raises_no_alarm(name):
    inputs = frames(missing=0.1)

    cuts = audit.instants_of(inputs)

    assert audit.look_ahead(CLEAN[name], inputs, cuts=cuts) == ([], 4 * len(cuts), [])


def test_code_that_fails_on_a_changed_future_is_told_and_compares_nothing():
    def picky(bars, indicators):
        if bars.height < 30:
            raise ValueError("too few bars")
        return bars.select(enter=pl.col("close") > pl.col("open"))

    inputs = frames(symbols=1)
    report = audit.look_ahead(of_strategy(picky), inputs, cuts=audit.instants_of(inputs), poisons=["truncated"])

    assert report[:2] == ([], 10)
    assert [(each.words, each.times) for each in report.failures] == [("too few bars", 29)]
    assert report.failures[0].where.startswith("ValueError (test_audit.py:")


def test_what_depends_on_the_order_of_equal_instants_is_counted():
    inputs = frames()
    in_order = of_strategy(lambda bars, indicators: bars.select(rank=pl.int_range(pl.len()).over("timestamp")))
    by_value = of_strategy(lambda bars, indicators: bars.select(rank=pl.col("close").rank("min").over("timestamp")))

    assert audit.order_sensitive(in_order, inputs)["signals", "rank"] > BARS
    assert audit.order_sensitive(by_value, inputs) == {}
