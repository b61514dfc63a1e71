"""What a config may say of indicators, and what the calendar, gaps and wider intervals make of their values."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

from backtester.data.calendar import Session
from backtester.features.catalog import indicators, uses_of
from backtester.features.foreign import find
from backtester.features.indicators import indicator_columns, on_base
from backtester.features.intraday import run_pass
from backtester.features.series import base_series, derived_series
from backtester.interval import Interval
from tests.features.bars_made import YEAR, made, run_sessions, same_bits
from tests.features.test_indicator_oracles import random_bars
from tests.reference import Row
from tests.sessions import MINUTE, OPEN, session, table

BARS_A_YEAR = {"1m": YEAR, "5m": YEAR / 5, "30m": YEAR / 30}
ONE, FIVE, THIRTY = (Interval.parse(text) for text in ("1m", "5m", "30m"))


def uses(*raw):
    found, problems = uses_of(list(raw), run_interval="1m", find=find)
    assert not problems
    return found


def series_of(whole, rows, symbols, hours="regular"):
    bars, _ = table(rows, symbols)
    done = run_pass(bars, whole, interval=ONE, derived=[FIVE, THIRTY], hours=hours)
    return {
        "1m": base_series(done, whole, ONE),
        "5m": derived_series(done, whole, FIVE, 0),
        "30m": derived_series(done, whole, THIRTY, 1),
    }, done


def row(minute, close, symbol="A", volume=1.0):
    return Row(OPEN + minute * MINUTE, symbol, close, close, close, close, volume)


def test_series_hold_every_row_symbol_after_symbol():
    rows = [row(t, 10.0 + t + (symbol == "B"), symbol) for t in range(9) for symbol in "ABC" if (t, symbol) != (3, "B")]
    rows = [r for r in rows if r.symbol != "C"]

    series, done = series_of(session(60), rows, ["A", "B", "C"])

    one, five = series["1m"], series["5m"]
    assert one.offsets.tolist() == [0, 9, 17, 17]
    assert one.bars.close.tolist() == [*np.arange(10.0, 19.0), 11, 12, 13, 15, 16, 17, 18, 19]
    assert np.array_equal(done.bars.close[one.order], one.bars.close)
    assert np.array_equal(one.bars.close[one.place], done.bars.close)
    assert (one.known_at - one.timestamps == MINUTE).all()
    assert one.missing.tolist() == [0] * 12 + [1] + [0] * 4
    assert one.missing_after.tolist() == [51, 51, 60]
    assert five.bars.close.tolist() == [14.0, 18.0, 15.0, 19.0]
    assert five.hollow.tolist() == [0, 1, 1, 1]
    assert five.elapsed.tolist() == [5 * MINUTE, 10 * MINUTE] * 2


def test_a_wider_value_appears_on_base_rows_when_its_bar_is_known():
    rows = [row(t, float(t)) for t in range(12)]
    asked = uses({"name": "sma", "period": 1, "interval": "5m"}, {"name": "mom", "period": 1})

    series, _ = series_of(session(60), rows, ["A"])
    found = on_base(indicator_columns(asked, series, bars_a_year=BARS_A_YEAR), asked, series, "1m")

    assert found["sma_1_5m"] == pytest.approx([np.nan] * 4 + [4.0] * 5 + [9.0] * 3, nan_ok=True)
    assert found["mom_1"] == pytest.approx([np.nan] + [1.0] * 11, nan_ok=True)


def test_a_wider_value_of_the_session_before_stands_until_the_first_bar_in_continuous_scope():
    asked = uses({"name": "sma", "period": 2, "interval": "5m", "scope": "continuous"})
    first, _ = series_of(session(10), [row(t, 1.0) for t in range(10)], ["A"])
    second, _ = series_of(session(10), [row(t, 3.0) for t in range(6)], ["A", "B"])

    state = indicator_columns(asked, first, bars_a_year=BARS_A_YEAR).state
    found = on_base(indicator_columns(asked, second, state, bars_a_year=BARS_A_YEAR), asked, second, "1m")

    assert found["sma_2_5m"].tolist() == [1.0] * 4 + [2.0] * 2


def test_partial_bars_give_no_value_and_are_in_no_window_unless_asked_for():
    rows = [row(t, float(t), volume=1.0) for t in range(40)]
    asked = uses(
        {"name": "volume_sma", "period": 1, "interval": "30m"},
        {"name": "volume_sma", "period": 1, "interval": "30m", "partial": True, "key": "all"},
    )

    series, _ = series_of(session(40), rows, ["A"])
    found = indicator_columns(asked, series, bars_a_year=BARS_A_YEAR).values

    assert series["30m"].is_partial.tolist() == [False, True]
    assert found["volume_sma_1_30m"] == pytest.approx([30.0, np.nan], nan_ok=True)
    assert found["all"].tolist() == [30.0, 10.0]


def test_the_last_whole_bar_stands_while_and_after_a_partial_one():
    whole = Session(dt.date(2025, 6, 16), OPEN, OPEN + 90 * MINUTE, OPEN + 40 * MINUTE, OPEN + 50 * MINUTE, False, 0)
    rows = [row(t, float(t)) for t in [*range(40), *range(50, 90)]]
    asked = uses(
        {"name": "sma", "period": 1, "interval": "30m"},
        {"name": "sma", "period": 1, "interval": "30m", "partial": True, "key": "all"},
    )

    series, _ = series_of(whole, rows, ["A"])
    found = on_base(indicator_columns(asked, series, bars_a_year=BARS_A_YEAR), asked, series, "1m")

    assert series["30m"].is_partial.tolist() == [False, True, False, True]
    assert found["sma_1_30m"] == pytest.approx([np.nan] * 29 + [29.0] * 40 + [79.0] * 11, nan_ok=True)
    assert found["all"] == pytest.approx([np.nan] * 29 + [29.0] * 10 + [39.0] * 30 + [79.0] * 10 + [89.0], nan_ok=True)


def test_pivots_are_of_all_bars_of_the_session_before_and_there_from_the_first_row_on_any_interval():
    asked = uses(*({"name": "pivot_points", "interval": each, "key": f"p{each}"} for each in ("1m", "5m", "30m")))
    first, _ = series_of(session(40), [row(t, 10.0 + t) for t in range(40)], ["A"])
    second, _ = series_of(session(40), [row(t, 5.0) for t in range(3)], ["A"])

    state = indicator_columns(asked, first, bars_a_year=BARS_A_YEAR).state
    found = on_base(indicator_columns(asked, second, state, bars_a_year=BARS_A_YEAR), asked, second, "1m")

    for each in ("1m", "5m", "30m"):
        assert found[f"p{each}_pp"].tolist() == [(49.0 + 10.0 + 49.0) / 3.0] * 3


def test_a_session_that_does_not_know_a_symbol_is_a_gap_of_its_windows():
    asked = uses({"name": "sma", "period": 3, "missing": "require", "scope": "continuous"})
    full = [row(t, 1.0, symbol) for t in range(10) for symbol in "AB"]
    both, _ = series_of(session(10), full, ["A", "B"])
    alone, _ = series_of(session(10), [each for each in full if each.symbol == "A"], ["A"])

    state = indicator_columns(asked, both, bars_a_year=BARS_A_YEAR).state
    state = indicator_columns(asked, alone, state, bars_a_year=BARS_A_YEAR).state
    after = indicator_columns(asked, both, state, bars_a_year=BARS_A_YEAR).values["sma_3"]

    assert np.isnan(after).tolist() == [False] * 10 + [True, True] + [False] * 8


def test_require_gives_nothing_while_the_window_holds_a_gap():
    minutes = [0, 1, 2, 4, 5, 6, 7]
    common = {"name": "sma", "period": 3, "missing": "require"}
    asked = uses(
        common,
        {**common, "key": "skipping", "missing": "skip"},
        {"name": "twap", "missing": "require"},
        {**common, "key": "going_on", "scope": "continuous"},
        {"name": "sma", "period": 1, "interval": "5m", "missing": "require"},
    )
    rows = [row(t, 1.0) for t in minutes]

    series, _ = series_of(session(10), rows, ["A"])
    found = indicator_columns(asked, series, bars_a_year=BARS_A_YEAR)
    is_known = {column: (~np.isnan(values)).astype(int).tolist() for column, values in found.values.items()}

    assert is_known["sma_3"] == is_known["going_on"] == [0, 0, 1, 0, 0, 1, 1]
    assert is_known["skipping"] == [0, 0, 1, 1, 1, 1, 1]
    assert is_known["twap"] == [1, 1, 1, 0, 0, 0, 0]
    assert is_known["sma_1_5m"] == [0, 0]
    # 8 and 9 are missing at the end: the next session's first windows reach over them.
    whole, _ = series_of(session(10), [row(t, 1.0) for t in range(10)], ["A"])
    after = indicator_columns(asked, whole, found.state, bars_a_year=BARS_A_YEAR)
    assert (~np.isnan(after.values["going_on"])).tolist() == [False, False] + [True] * 8
    third = indicator_columns(asked, whole, after.state, bars_a_year=BARS_A_YEAR)
    assert not np.isnan(third.values["going_on"]).any()


def test_a_late_first_bar_is_a_gap_for_what_runs_since_the_open():
    series, _ = series_of(session(10), [row(t, 1.0) for t in range(2, 6)], ["A"])
    asked = uses({"name": "twap", "missing": "require"}, {"name": "sma", "period": 1, "missing": "require"})

    found = indicator_columns(asked, series, bars_a_year=BARS_A_YEAR).values

    assert np.isnan(found["twap"]).all()
    assert not np.isnan(found["sma_1"]).any()


def test_lag_sees_the_session_before_only_in_continuous_scope():
    asked = uses(
        {"name": "mom", "period": 1, "lag": 2},
        {"name": "mom", "period": 1, "lag": 2, "scope": "continuous", "key": "on"},
    )
    rows = random_bars(8)
    plain = run_sessions(uses({"name": "mom", "period": 1, "scope": "continuous"}), [[rows]])["mom_1"][0][0]

    found = run_sessions(asked, [[rows[:4]], [rows[4:]]])

    assert same_bits(found["on"][0][0][2:], plain[:-2])
    assert np.isnan(found["mom_1_lag2"][0][0][4:7]).all()


def test_a_symbol_without_bars_keeps_its_state():
    asked = uses(
        {"name": "ema", "period": 3, "scope": "continuous"}, {"name": "sma", "period": 3, "scope": "continuous"}
    )
    rows = random_bars(12)

    whole = run_sessions(asked, [[rows[:5] + rows[5:], rows]])
    with_holes = run_sessions(asked, [[rows[:5], rows[:5]], [[], rows[5:7]], [rows[5:], rows[7:]]])

    for use in asked:
        for s in range(2):
            assert same_bits(whole[use.key][s], with_holes[use.key][s])
    # One that the session does not know at all, too.
    state = indicator_columns(asked, {"1m": made([rows[:5], rows[:5]])}, bars_a_year=BARS_A_YEAR).state
    alone = made([rows[5:]])
    gone = indicator_columns(asked, {"1m": alone}, state, bars_a_year=BARS_A_YEAR).state
    again = indicator_columns(asked, {"1m": made([[], rows[5:]])}, gone, bars_a_year=BARS_A_YEAR)
    assert same_bits(again.values["ema_3"], whole["ema_3"][1][0][5:])


def test_vwap_since_the_open_is_the_running_vwap_of_the_pass():
    rows = [Row(OPEN + t * MINUTE, "A", 1.1, 1.3 + t, 0.7, 1.2, 0.3 * t) for t in range(20)]
    series, done = series_of(session(20), rows, ["A"])

    found = indicator_columns(uses({"name": "vwap"}), series, bars_a_year=BARS_A_YEAR).values["vwap"]

    assert same_bits(found, done.running.vwap)


def test_prices_off_the_tick_are_rounded_and_counted():
    asked = uses({"name": "sma", "period": 1}, {"name": "sma", "period": 1, "decimals": 9, "key": "fine"})
    series, _ = series_of(session(3), [row(0, 1.5), row(1, 1.23456789), row(2, 1.00000049)], ["A"])

    found = indicator_columns(asked, series, bars_a_year=BARS_A_YEAR)

    assert found.values["sma_1"].tolist() == [1.5, 1.234568, 1.0]
    assert found.values["fine"].tolist() == [1.5, 1.23456789, 1.00000049]
    assert found.off_tick == {"sma_1": 2, "fine": 0}


def test_values_off_the_tick_are_counted_once_a_use_and_session():
    raw = ({"name": "bbands", "period": 2, "key": "bands"}, {"name": "atr", "period": 2, "key": "range"})
    asked = uses(*({**each, "scope": "continuous"} for each in raw))
    series, _ = series_of(session(3), [row(0, 1.5), row(1, 1.23456789), row(2, 2.5)], ["A"])

    first = indicator_columns(asked, series, bars_a_year=BARS_A_YEAR)
    second = indicator_columns(asked, series, first.state, bars_a_year=BARS_A_YEAR)

    assert first.off_tick == second.off_tick == {"bands": 1, "range": 3}


def test_a_sum_that_could_wrap_is_refused():
    from backtester.errors import InputError

    series, _ = series_of(session(3), [row(0, 4e9), row(1, 4e9)], ["A"])

    with pytest.raises(InputError, match="declare fewer decimals"):
        indicator_columns(uses({"name": "wma", "period": 2000}), series, bars_a_year=BARS_A_YEAR)


def test_a_total_that_could_wrap_is_refused_though_no_session_reaches_it():
    from backtester.errors import InputError

    asked = uses({"name": "obv", "scope": "continuous"})
    rising = [row(t, 1.0 + t, volume=3e11) for t in range(9)]
    series, _ = series_of(session(9), rising, ["A"])

    first = indicator_columns(asked, series, bars_a_year=BARS_A_YEAR)

    assert first.values["obv"][-1] == 8 * 3e11
    with pytest.raises(InputError, match=r"obv: .* over all its bars is too much"):
        indicator_columns(asked, series, first.state, bars_a_year=BARS_A_YEAR)


WRONG = [
    ({"name": "smaa"}, ".name is 'smaa'; no such indicator; did you mean sma"),
    ({"name": "sma", "period": 0}, ".period is 0; expected a whole number from 1 to 2000"),
    ({"name": "sma", "perid": 5}, ".perid: unknown key (found 5); did you mean period?"),
    ({"name": "sma", "period": True}, ".period is True; expected a whole number"),
    ({"name": "rsi", "method": "wildr"}, "did you mean 'wilder'?"),
    ({"name": "sma", "input": "clos"}, "did you mean 'close'?"),
    ({"name": "atr", "input": "high"}, ".input is 'high'; atr reads high, low, close"),
    ({"name": "twap", "scope": "continuous"}, "twap is always 'session'"),
    ({"name": "vwap", "scope": "continuous"}, "give a period"),
    ({"name": "pivot_points", "scope": "session"}, "pivot_points is always 'continuous'"),
    ({"name": "sma", "lag": -1}, ".lag is -1"),
    ({"name": "sma", "missing": "drop"}, ".missing is 'drop'"),
    ({"name": "sma", "key": "a b"}, "expected letters, digits and _"),
    ({"name": "bbands", "width": "2"}, ".width is '2'; expected a number"),
    ({"period": 3}, ".name: missing"),
    ({"name": "sma", "lookback": 5}, "knows itself how far"),
    ({"name": "no_such_module:thing"}, "cannot be imported"),
    ({"name": "tests.features.my_indicators:sprad"}, "did you mean spread?"),
    ({"name": "tests.features.my_indicators:not_one"}, "is no pl.Expr and no Custom"),
    ({"name": "tests.features.my_indicators:spread", "scope": "continuous"}, "declare lookback"),
    ({"name": "tests.features.my_indicators:misspelt"}, 'unable to find column "clsoe"'),
    ({"name": "tests.features.my_indicators:words"}, "that gives a number a bar"),
    ({"name": "tests.features.my_indicators:shorter"}, "that gives a number a bar"),
    ({"name": "tests.features.my_indicators:spaced"}, "its output 'a b' cannot be a column"),
    ({"name": "sma", "key": "Symbol"}, "Symbol is a column of the bars or of the tables"),
    ({"name": "sma", "key": "close"}, "close is a column of the bars or of the tables"),
    ({"name": "sma", "interval": "1d"}, "a session has one 1d bar and the first value needs 20"),
    ({"name": "sma", "interval": "1d", "period": 1, "lag": 1}, "the first value needs 2; say scope = 'continuous'"),
    ({"name": "opening_range", "interval": "60m"}, "no 60m bar ends within 30 minutes of the open"),
]


@pytest.mark.parametrize(("raw", "expected"), WRONG, ids=[str(raw) for raw, _ in WRONG])
def test_what_is_wrong_with_a_use_is_said(raw, expected):
    _, problems = uses_of([raw], run_interval="1m", find=find)

    assert expected in "\n".join(problems)
    assert all(line.startswith(("indicators[0]", "indicators: ")) for line in problems)


def test_every_problem_is_told_at_once_and_a_column_twice_is_one():
    _, problems = uses_of([{"name": "sma", "period": 0, "lag": "x"}, {"name": "nope"}], run_interval="1m")
    _, twice = uses_of([{"name": "sma"}, {"name": "sma", "scope": "continuous"}], run_interval="1m")

    assert len(problems) == 3
    assert twice == ["indicators: sma_20 is computed twice; give one of them another key"]


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [
        ({"name": "sma", "key": "x"}, {"name": "bbands", "key": "x"}, "x"),
        ({"name": "sma", "key": "x_upper"}, {"name": "bbands", "key": "X"}, "X_upper"),
        ({"name": "sma", "key": "fast"}, {"name": "sma", "key": "FAST", "period": 9}, "FAST"),
    ],
)
def test_keys_and_columns_differ_by_more_than_case(first, second, name):
    _, problems = uses_of([first, second], run_interval="1m")

    assert problems == [f"indicators: {name} is computed twice; give one of them another key"]


def test_an_interval_is_read_in_any_case():
    (use,) = uses({"name": "sma", "interval": "5M"})

    assert (use.interval, use.key) == ("5m", "sma_20_5m")


def test_default_keys():
    asked = uses(
        {"name": "sma", "interval": "5m", "lag": 1},
        {"name": "macd", "fast": 8},
        {"name": "bbands", "width": 2.5},
        {"name": "ema", "input": "typical"},
        {"name": "rsi", "method": "cutler"},
    )

    assert [use.columns for use in asked] == [
        ("sma_20_5m_lag1",),
        ("macd_fast8", "macd_fast8_signal", "macd_fast8_histogram"),
        tuple(f"bbands_20_width2p5_{each}" for each in ("upper", "middle", "lower", "bandwidth")),
        ("ema_20_typical",),
        ("rsi_14_cutler",),
    ]


def test_the_words_for_a_warmup_say_what_it_is():
    for indicator in indicators().values():
        values = {parameter.name: parameter.default for parameter in indicator.parameters}
        words = indicator.warmup_says.partition(",")[0] if indicator.name == "vwap" else indicator.warmup_says
        words = words.partition(" (")[0].replace("floor(sqrt(", "int(math.sqrt(")
        if indicator.name == "opening_range":
            continue
        assert eval(words, {"math": __import__("math"), "max": max, "int": int}, values) == indicator.warmup(values)


@pytest.mark.parametrize("cut", [0, 3, 10, 19])
def test_a_users_own_indicators_go_on_over_sessions(cut):
    module = "tests.features.my_indicators"
    asked = uses(
        {"name": f"{module}:spread", "key": "spread"},
        {"name": f"{module}:swing", "key": "swing", "scope": "continuous"},
        {"name": f"{module}:streak", "key": "streak", "factor": 2.0, "scope": "continuous"},
    )
    stretch = [random_bars(20), random_bars(20, seed=4)]

    whole = run_sessions(asked, [stretch])
    again = run_sessions(asked, [[rows[:cut] for rows in stretch], [rows[cut:] for rows in stretch]])

    for use in asked:
        for s, rows in enumerate(stretch):
            assert same_bits(whole[use.key][s], again[use.key][s])
            highs = pl.Series([float(bar.high) for bar in rows])
            if use.key == "swing":
                assert same_bits(whole["swing"][s][0], highs.rolling_max(4).fill_null(np.nan).to_numpy())
            if use.key == "spread":
                assert whole["spread"][s][0].tolist() == [float(bar.high) - float(bar.low) for bar in rows]


def test_talib_in_continuous_scope_needs_a_finite_memory():
    pytest.importorskip("talib", reason="the extra `ta` is not installed")
    raw = {"name": "talib.RSI", "timeperiod": 5, "key": "rsi"}
    rows = random_bars(60)
    asked = uses({**raw, "scope": "continuous", "lookback": 40})

    once = run_sessions(asked, [[rows[:30]], [rows[30:50]], [rows[50:]]])["rsi"][0][0]

    _, refused = uses_of([{**raw, "scope": "continuous"}], run_interval="1m", find=find)
    assert "declare lookback = 5 or more" in refused[0]
    _, endless = uses_of([{"name": "talib.OBV", "scope": "continuous", "lookback": 9}], run_interval="1m", find=find)
    assert "which no run carries" in endless[0]
    _, unknown = uses_of([{"name": "talib.ADXX"}], run_interval="1m", find=find)
    assert "did you mean ADX" in unknown[0]
    _, bad = uses_of([{**raw, "timeperiod": 0}], run_interval="1m", find=find)
    assert "refuses these parameters" in bad[0]
    (whole,) = uses({"name": "talib.BBANDS", "nbdevup": 3, "key": "bands"})
    assert np.isfinite(run_sessions([whole], [[rows]])["bands"][0][:, -1]).all()
    last = run_sessions(uses(raw), [[rows[10:]]])["rsi"][0][0]
    assert once[50:].tolist() == last[40:].tolist()


def test_extended_hours_break_nothing():
    whole = Session(dt.date(2025, 6, 16), OPEN, OPEN + 5 * MINUTE, None, None, False, OPEN + 500 * MINUTE)
    rows = [row(t, 1.0) for t in (-3, 0, 1, 2, 3, 4, 7)]
    asked = uses({"name": "sma", "period": 3, "missing": "require"})

    series, _ = series_of(whole, rows, ["A"], hours="extended")

    assert series["1m"].missing.tolist() == [0] * 7
    found = indicator_columns(asked, series, bars_a_year=BARS_A_YEAR).values["sma_3"]
    assert np.isnan(found).tolist() == [True, True] + [False] * 5
