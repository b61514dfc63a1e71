"""Dense columns of wishes become sparse requests in the order the ledger handles them."""

import sys
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from backtester.errors import StrategyError
from backtester.kernels import codes
from backtester.strategy import columns
from backtester.strategy.loading import Loaded
from tests.features.test_rows import bar, rows
from tests.sessions import MINUTE, OPEN, session

NAN = float("nan")
# Two symbols, three minutes: rows are A0 B0 A1 B1 A2 B2.
ROWS = rows(session(3), [bar(m, s, 10.0 + m) for m in range(3) for s in "AB"], ["A", "B"])


def asked(indicators=None, **wishes):
    """The requests of a strategy that answers with these columns."""
    frame = pl.DataFrame(wishes, height=6) if wishes else pl.DataFrame(height=6)
    return asked_by(lambda bars, _: frame, indicators)


def asked_by(signals, indicators=None):
    return columns.requests(Loaded("m:S", SimpleNamespace(signals=signals), "columns", {}), ROWS, indicators or {})


def told(requests):
    """(label, symbol, kind) of each request."""
    kinds = [codes.KINDS[kind] for kind in requests.kind]
    return list(zip(requests.label.tolist(), ["AB"[c] for c in requests.symbol], kinds, strict=True))


def test_only_rows_with_a_wish_ask():
    found = asked(enter=[True, None, False, True, None, None], exit=[False, False, True, None, None, True])

    assert told(found) == [(0, "A", "enter"), (1, "A", "exit"), (1, "B", "enter"), (2, "B", "exit")]
    assert found.side.tolist() == [1, 0, 1, 0]
    assert set(found.unit.tolist()) == {codes.CONFIGURED}


def test_no_wish_at_all_is_no_request():
    assert told(asked()) == []
    assert told(asked(enter=[None] * 6, target_weight=[None] * 6, stop_loss=[1.0] * 6)) == []


def test_a_higher_rank_goes_first_and_ties_go_by_symbol():
    found = asked(enter=[1, -1, 1, 1, 1, 1], rank=[1.0, 2.0, 5.0, 5.0, None, -1.0])

    assert told(found) == [(0, "B", "enter"), (0, "A", "enter"), (1, "A", "enter"), (1, "B", "enter"),
                           (2, "A", "enter"), (2, "B", "enter")]  # fmt: skip
    assert found.side.tolist() == [-1, 1, 1, 1, 1, 1]
    assert found.rank.tolist() == [2.0, 1.0, 5.0, 5.0, 0.0, -1.0]


def test_of_one_symbol_cancel_comes_first_then_exit_then_the_rest():
    found = asked(enter=[True] * 2 + [None] * 4, exit=[True] * 6, cancel=[True, False] * 3)

    assert told(found)[:5] == [(0, "A", "cancel"), (0, "A", "exit"), (0, "A", "enter"), (0, "B", "exit"),
                               (0, "B", "enter")]  # fmt: skip


def test_targets_have_their_unit_and_need_no_side():
    found = asked(target_units=[5, None, None, None, 0, -5], target_weight=[None, 0.5, None, None, None, None])

    assert told(found) == [(0, "A", "target"), (0, "B", "target"), (2, "A", "target"), (2, "B", "target")]
    assert found.unit.tolist() == [codes.UNIT, codes.EQUITY_FRAC, codes.UNIT, codes.UNIT]
    assert found.amount.tolist() == [5.0, 0.5, 0.0, -5.0]


def test_a_target_of_volatility_is_the_weight_that_gives_it():
    own = [0.2, 0.4, None, 0.25, 0.1, 0.5]
    found = asked(target_volatility=[0.1, -0.1, 0.1, None, 0.0, 0.1], volatility=own)

    assert told(found) == [(0, "A", "target"), (0, "B", "target"), (2, "A", "target"), (2, "B", "target")]
    assert set(found.unit.tolist()) == {codes.EQUITY_FRAC}
    assert found.amount.tolist() == [0.5, -0.25, 0.0, 0.2]


def test_an_entry_takes_its_size_prices_and_legs_from_its_own_row():
    found = asked(
        enter=[1, 0, -1, 1, 1, 0],
        exit=[False, True, False, False, False, False],
        units=[10, None, None, None, None, 7],
        notional=[None, None, 500.0, None, None, None],
        limit=[9.9, 9.9, None, None, 9.5, None],
        stop=[None, None, 10.5, None, 10.0, None],
        stop_loss=[9.0, 9.0, None, None, None, None],
        stop_loss_frac=[None, None, 0.02, None, None, 0.1],
        take_profit_frac=pl.Series([0.05] * 6),
        trail=[None, None, None, 0.3, None, None],
        exit_after=[5, None, None, None, 3, 2],
        tif=["day", None, "ioc", None, "gtc", "fok"],
    )

    assert told(found) == [(0, "A", "enter"), (0, "B", "exit"), (1, "A", "enter"), (1, "B", "enter"), (2, "A", "enter")]
    assert found.unit.tolist() == [codes.UNIT, -1, codes.NOTIONAL, -1, -1]
    np.testing.assert_array_equal(found.amount, [10.0, NAN, 500.0, NAN, NAN])
    assert found.order_type.tolist() == [codes.LIMIT, codes.MARKET, codes.STOP, codes.MARKET, codes.STOP_LIMIT]
    np.testing.assert_array_equal(found.limit, [9.9, NAN, NAN, NAN, 9.5])
    np.testing.assert_array_equal(found.stop, [NAN, NAN, 10.5, NAN, 10.0])
    np.testing.assert_array_equal(found.stop_loss, [9.0, NAN, 0.02, NAN, NAN])
    np.testing.assert_array_equal(found.take_profit, [0.05, NAN, 0.05, 0.05, 0.05])
    np.testing.assert_array_equal(found.leg_trail, [NAN, NAN, NAN, 0.3, NAN])
    take = codes.TAKE_PROFIT_FRAC
    assert found.fractions.tolist() == [take, 0, take | codes.STOP_LOSS_FRAC, take, take]
    assert found.exit_after_bars.tolist() == [5, 0, 0, 0, 3]
    assert found.tif.tolist() == [codes.DAY, codes.GTC, codes.IOC, codes.GTC, codes.GTC]


def test_the_frames_hold_what_is_known_at_each_row():
    seen = {}

    def signals(bars, indicators):
        seen.update(bars=bars, indicators=indicators)
        return indicators.select(enter=pl.col("x") > 1.0)

    found = asked_by(signals, {"x": np.array([NAN, NAN, 1.0, 2.0, 3.0, NAN])})

    assert told(found) == [(1, "B", "enter"), (2, "A", "enter")]
    bars = seen["bars"]
    assert bars["known_at"].cast(pl.Int64).to_list() == [OPEN + m * MINUTE for m in (1, 1, 2, 2, 3, 3)]
    assert bars["symbol"].cast(pl.String).to_list() == list("ABABAB")
    assert bars["running_vwap"].to_list() == [10.0, 10.0, 10.5, 10.5, 11.0, 11.0]
    assert bars["quality_pct"].to_list() == [100.0] * 6
    assert bars["session_close"].cast(pl.Int64).unique().to_list() == [OPEN + 3 * MINUTE]
    assert seen["indicators"]["x"].null_count() == 3


def test_numbers_are_not_copied():
    frame = columns.bars_frame(ROWS)

    assert np.shares_memory(frame["close"].to_numpy(), ROWS.bars.close)


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"entr": [True] * 6}, "unknown column entr; did you mean enter?"),
        ({"stop_los": [True] * 6}, "did you mean stop_loss?"),
        ({"enter": [0.5] * 6}, "enter is Float64; expected true for long, or 1, -1 and 0"),
        ({"enter": [2, 0, 0, 0, 0, 0]}, "A: enter is a side"),
        ({"enter": pl.Series([0, -128, 0, 0, 0, 0], dtype=pl.Int8)}, "enter is a side"),
        ({"exit": [1] * 6}, "exit is Int64; expected true or false"),
        ({"target_weight": ["x"] * 6}, "target_weight is String; expected numbers"),
        ({"target_weight": [None, None, None, NAN, None, None]}, "B: target_weight is nan; expected a number, or null"),
        ({"rank": [float("inf")] * 6}, "rank is inf"),
        ({"enter": [True] * 6, "units": [5, 5, 0, 5, 5, 5]}, "an entry's size is not above 0"),
        ({"enter": [True] * 6, "units": [5] * 6, "notional": [1.0] * 6}, "more than one of units, notional"),
        ({"target_units": [5] * 6, "target_weight": [1.0] * 6}, "more than one of target_units"),
        ({"target_volatility": [0.1] * 6}, "target_volatility needs a column volatility"),
        ({"target_volatility": [0.1] * 6, "volatility": [0.0] * 6}, "volatility is not above 0"),
        (
            {"target_volatility": [0.1] * 6, "volatility": [1.0] * 6, "target_units": [5] * 6},
            "more than one of target_u",
        ),
        ({"target_units": [5] * 6, "enter": [True] * 6}, "both a target and enter"),
        ({"enter": [True] * 6, "trail": [5.0] * 6, "trail_frac": [0.1] * 6}, "both trail and trail_frac"),
        ({"enter": [True] * 6, "exit_after": [1.5] * 6}, "exit_after is no count of bars"),
        ({"enter": [True] * 6, "exit_after": [0] * 6}, "exit_after is no count of bars"),
        ({"enter": [True] * 6, "exit_after": [2**31] * 6}, "exit_after is no count of bars; give null for none"),
        ({"enter": [True] * 6, "tif": ["dya"] * 6}, "tif is 'dya'; expected gtc, day, ioc or fok"),
    ],
)
def test_a_frame_that_cannot_be_read_says_where_and_what_would_do(wishes, words):
    with pytest.raises(StrategyError) as caught:
        asked(**wishes)

    assert "strategy m:S, session 2025-06-16" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("signals", "words"),
    [
        (lambda bars, _: bars.head(2), "signals has 2 rows for 6 bars"),
        (
            lambda bars, _: bars.select(enter=pl.lit(True)),
            "a select of literals alone has one row: use bars.with_columns",
        ),
        (lambda bars, _: sys.exit(0), "SystemExit: 0"),
        (lambda bars, _: bars.reverse(), "sorted otherwise than bars (column timestamp)"),
        (lambda bars, _: None, "signals gave NoneType; expected a frame"),
        (lambda bars, _: bars.select(pl.col("closs") > 1), "ColumnNotFoundError"),
        (lambda bars, _: 1 / 0, "ZeroDivisionError: division by zero (test_columns.py:"),
    ],
)
def test_code_that_fails_is_told_with_its_session_and_line(signals, words):
    with pytest.raises(StrategyError) as caught:
        asked_by(signals)

    assert words in str(caught.value)


def test_bars_may_be_given_back_with_wishes_beside_them_lazily():
    found = asked_by(lambda bars, _: bars.lazy().with_columns(enter=pl.col("close") > 11.0))

    assert told(found) == [(2, "A", "enter"), (2, "B", "enter")]


def test_frames_of_other_libraries_are_taken_by_their_arrow_stream():
    found = asked_by(lambda bars, _: bars.select(enter=pl.col("close") > 11.0).to_arrow())

    assert told(found) == [(2, "A", "enter"), (2, "B", "enter")]


@pytest.mark.parametrize("leg", ["stop_loss", "stop_loss_frac", "take_profit_frac", "trail", "trail_frac"])
@pytest.mark.parametrize("value", [0.0, -0.01])
def test_a_leg_that_is_not_above_0_is_refused_with_its_bar_and_column(leg, value):
    """Of an entry: where a row enters nothing a leg means nothing, whatever it is."""
    legs = [None, value, 0.01, value, None, None]
    with pytest.raises(StrategyError, match=rf"session 2025-06-16: 2025-06-15T15:08:00.* B: {leg} is not above 0"):
        asked(enter=[1, 0, 0, -1, 0, 0], **{leg: legs})

    assert len(asked(enter=[1, 0, 1, 0, 0, 0], **{leg: legs}).label) == 2
