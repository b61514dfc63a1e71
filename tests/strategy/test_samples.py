"""The samples in columns, by hand."""

import numpy as np
import pytest

from backtester.kernels import codes
from backtester.strategy import columns, samples
from backtester.strategy.loading import Loaded
from tests.features.test_rows import bar, rows
from tests.sessions import session

NAN = float("nan")


def asked(strategy, closes, length=None, **indicators):
    """(label, symbol, kind, side or amount) of what a strategy asks, given closes by symbol, one a minute."""
    bars = [bar(m, s, close) for s, each in closes.items() for m, close in enumerate(each) if close]
    found = rows(session(length or max(map(len, closes.values()))), bars, list(closes))
    values = {key: np.array(value, dtype=np.float64) for key, value in indicators.items()}
    made = columns.requests(Loaded("m:S", strategy, "columns", {}), found, values)
    return [
        (t, list(closes)[s], codes.KINDS[k], amount if k == codes.TARGET else side)
        for t, s, k, side, amount in zip(made.label, made.symbol, made.kind, made.side, made.amount, strict=True)
    ]


def test_a_cross_needs_both_bars_and_ties_belong_to_the_side_before():
    averages = {
        "fast": [NAN, 2.0, 3.0, 2.0, 1.0, 2.0], "fast_before": [NAN, NAN, 2.0, 3.0, 2.0, 1.0],
        "slow": [NAN, 1.0, 2.0, 2.0, 2.0, 2.0], "slow_before": [NAN, NAN, 2.0, 2.0, 2.0, 2.0],
    }  # fmt: skip
    closes = {"A": [10.0] * 6}

    assert asked(samples.SmaCross(), closes, **averages) == [(2, "A", "enter", 1), (4, "A", "exit", 0)]
    assert asked(samples.SmaCross(short=True), closes, **averages) == [(2, "A", "enter", 1), (4, "A", "enter", -1)]


def test_an_opening_range_is_left_once_a_session():
    closes = {"A": [10.0, 11.0, 12.0, 13.0], "B": [10.0, 9.0, 8.0, 11.0]}
    high = [NAN, NAN, 10.5, 10.5, 10.5, 10.5, 10.5, 10.5]

    found = asked(samples.OpeningRange(stop_at_low=True), closes, range_high=high, range_low=[9.0] * 8)

    assert found == [(1, "A", "enter", 1), (3, "B", "enter", 1)]


def test_vwap_is_left_by_a_margin_and_come_back_to():
    found = asked(samples.VwapReversion(minimum_bars=2), {"A": [10.0, 9.0, 9.0, 9.6]})

    # VWAP: 10, 9.5, 9.333, 9.4.
    assert found == [(0, "A", "exit", 0), (1, "A", "enter", 1), (2, "A", "enter", 1), (3, "A", "exit", 0)]


def test_rsi_enters_below_and_leaves_above_its_levels():
    found = asked(samples.Rsi(), {"A": [1.0] * 4}, rsi=[NAN, 29.9, 30.0, 70.1])

    assert found == [(1, "A", "enter", 1), (3, "A", "exit", 0)]


def test_momentum_of_the_first_minutes_enters_before_the_close():
    closes = {"A": [10.0, 11.0, 5.0, 5.0, 5.0, 5.0], "B": [10.0, 9.0, 20.0, 20.0, None, 20.0], "C": [10.0] * 6}

    found = asked(samples.Momentum(first=2, last=2), closes)

    assert found == [(3, "A", "enter", 1), (3, "B", "enter", -1)]


def test_ranks_give_weights_at_their_times_and_ties_go_by_symbol():
    closes = {"A": [10.0, 11.0, 10.0, 10.0, 10.0], "B": [10.0, 9.0, 10.0, 10.0, 10.0], "C": [10.0] * 5,
              "D": [10.0, 10.0, 12.0, 12.0, 10.0]}  # fmt: skip

    # Known at minutes 2 and 4 of 5; the largest moves are asked for first. At 4 only D has moved.
    found = asked(samples.CrossSectionalRank(top=1, every=2), closes)

    assert found == [
        (1, "A", "target", 0.5), (1, "B", "target", -0.5), (1, "C", "target", 0.0), (1, "D", "target", 0.0),
        (3, "D", "target", 0.5), (3, "A", "target", -0.5), (3, "B", "target", 0.0), (3, "C", "target", 0.0),
    ]  # fmt: skip


@pytest.mark.parametrize(("symbols", "weights"), [("A", [0.0]), ("AB", [0.5, -0.5]), ("ABC", [0.5, 0.0, -0.5]),
                                                 ("ABCD", [0.25, 0.25, -0.25, -0.25])])  # fmt: skip
def test_two_sides_of_few_symbols_share_them(symbols, weights):
    """`top` of 10 asked of fewer than 20 symbols: no symbol is on both sides, and the gross is what it was."""
    closes = {symbol: [10.0, 20.0 - k, 10.0] for k, symbol in enumerate(symbols)}

    found = asked(samples.CrossSectionalRank(top=10, every=2), closes)

    assert sorted((symbol, amount) for _, symbol, _, amount in found) == list(zip(symbols, weights, strict=True))


def test_the_session_s_end_is_no_time_to_begin():
    assert asked(samples.CrossSectionalRank(top=1, every=2), {"A": [10.0, 11.0], "B": [10.0, 9.0]}) == []
