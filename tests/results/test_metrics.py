"""The metrics: worked by hand, against the slow twin, at the edges, and the properties they must have."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.errors import ConfigError, UsageError
from backtester.results import returns as of
from backtester.results import trade_stats
from backtester.results.facts import Terms
from backtester.results.formulas import DEFAULTS
from backtester.results.metrics import REGISTRY, compute
from backtester.schema import METRICS
from tests import curves, reference_metrics

TERMS = Terms(curves.CAPITAL, 252.0, risk_free_frac=0.01, interval_us=900_000_000, elapsed_days=88.0)
OWN = [metric.id for metric in DEFAULTS]


def computed(rows: dict[str, Any], terms: Terms = TERMS, benchmark: Any = None, ids: Any = None) -> dict[str, Any]:
    """Rows of METRICS by id."""
    market = None if benchmark is None else np.array(benchmark, dtype=np.float64)
    table = compute(curves.as_tables(rows), terms, benchmark=market, ids=ids)
    assert table.schema == METRICS
    return {row["id"]: row for row in table.to_pylist()}


def values(*args: Any, **options: Any) -> dict[str, Any]:
    """Values by id; an instant where the metric is one."""
    found = computed(*args, **options)
    return {name: row["moment"] if row["value"] is None else row["value"] for name, row in found.items()}


def sessions_of(*equity: float) -> dict[str, Any]:
    """A run of one bar a session that ends each at the given equity."""
    dates = curves.sessions_from(curves.START, len(equity))
    ends = [
        {
            "session": day,
            "equity": value,
            "cash": value,
            "pnl": 0.0,
            "gross_exposure": 0.0,
            "fees": 1.0,
            "turnover": 50.0,
        }
        for day, value in zip(dates, equity, strict=True)
    ]
    bars = [
        {"session": day, "known_at": datetime(day.year, day.month, day.day, 21, tzinfo=UTC), "equity": value}
        | {"gross_exposure": value / 2.0, "open_positions": k % 2}
        for k, (day, value) in enumerate(zip(dates, equity, strict=True))
    ]
    return {"session_equity": ends, "equity": bars}


def close_to(found: Any, expected: Any, unit: str) -> bool:
    """Equal to 1e-12 of the value; near zero, of 1 (0.001 for fractions), since sums cancel there."""
    if expected is None or isinstance(found, datetime) or found is None:
        return bool(
            found == expected or (isinstance(expected, date) and found is not None and found.date() == expected)
        )
    return bool(abs(found - expected) <= 1e-12 * max(abs(expected), 1e-3 if unit == "frac" else 1.0))


def test_four_sessions_worked_by_hand() -> None:
    found = values(sessions_of(110.0, 99.0, 99.0, 118.8), Terms(100.0, 4.0))

    # Returns: 0.1, -0.1, 0, 0.2; mean 0.05; squares from it 0.0025, 0.0225, 0.0025, 0.0225: 0.05.
    deviation = math.sqrt(0.05 / 3.0)
    assert found["total_return"] == pytest.approx(0.188, rel=1e-14)
    assert found["annualised_return"] == pytest.approx(0.188, rel=1e-14)
    assert found["volatility"] == pytest.approx(2.0 * deviation, rel=1e-14)
    assert found["sharpe"] == pytest.approx(0.1 / deviation, rel=1e-14)
    assert found["sortino"] == pytest.approx(0.05 / 0.05 * 2.0, rel=1e-14)
    assert found["max_drawdown"] == pytest.approx(-0.1, rel=1e-14)
    assert found["calmar"] == pytest.approx(1.88, rel=1e-13)
    assert found["ulcer"] == pytest.approx(math.sqrt(0.02 / 4.0), rel=1e-14)
    assert [found[f"max_drawdown_{point}"].date() for point in ("peak", "trough", "recovery")] == [
        date(2025, 1, 6),
        date(2025, 1, 7),
        date(2025, 1, 9),
    ]
    assert found["max_drawdown_length"] == 3
    # Ordered -0.1, 0, 0.1, 0.2; the 5th percentile lies 0.15 of the way from the first to the second.
    assert found["var_95"] == pytest.approx(-0.085, rel=1e-14)
    assert found["cvar_95"] == pytest.approx(-0.1, rel=1e-14)
    assert found["tail_ratio"] == pytest.approx(0.185 / 0.085, rel=1e-13)
    assert (found["exposure"], found["gross_exposure"], found["fees"], found["traded"]) == (0.5, 0.5, 4.0, 200.0)
    assert found["turnover"] == pytest.approx(200.0 / (426.8 / 4.0), rel=1e-14)


def trade(number: int, pnl: float, **more: Any) -> dict[str, Any]:
    """A trade of AAA from 15:00 to 16:00 that is closed unless told otherwise."""
    hours = {"entered_at": datetime(2025, 1, 6, 15, tzinfo=UTC), "exited_at": datetime(2025, 1, 6, 16, tzinfo=UTC)}
    row = {"trade_id": number, "symbol": "AAA", "pnl": pnl, "return_frac": pnl / 128.0, "bars_held": 2}
    return row | hours | {"is_open": False} | more


def fill(minute: int, side: int, price: float, **more: Any) -> dict[str, Any]:
    """Ten units of AAA at 15:00 and so many minutes."""
    at = datetime(2025, 1, 6, 15, minute, tzinfo=UTC)
    row = {"symbol": "AAA", "filled_at": at, "side": side, "quantity": 10.0, "price": price, "ambiguous": False}
    flags = {"gap_adjacent": False, "is_stale": False, "is_defective": False}
    return row | {"worst_price": price, "best_price": price} | flags | more


def test_five_trades_worked_by_hand() -> None:
    rows = {"trades": [trade(k, pnl) for k, pnl in enumerate([30.0, 10.0, -20.0, 0.0, -20.0])]}

    found = values(rows)

    assert (found["trades"], found["open_trades"], found["win_rate"]) == (5, 0, 0.4)
    assert (found["profit_factor"], found["expectancy"], found["average_trade"]) == (1.0, 0.0, 0.0)
    assert (found["average_win"], found["average_loss"]) == (20.0, -20.0)
    assert (found["best_trade"], found["worst_trade"], found["sqn"]) == (30.0, -20.0, 0.0)
    assert (found["longest_wins"], found["longest_losses"], found["average_bars_held"]) == (2, 1, 2.0)
    assert found["win_rate@backtrader"] == 0.6
    # Before each trade 100,000, 100,030, 100,040, 100,020, 100,020: zero is a loss.
    won = (30.0 / 100_000.0 + 10.0 / 100_030.0) / 2.0
    lost = (20.0 / 100_040.0 + 0.0 + 20.0 / 100_020.0) / 3.0
    assert found["expectancy@lean"] == pytest.approx(0.4 * won / lost - 0.6, rel=1e-12)


def test_assumptions_move_the_profit_and_flags_share_it() -> None:
    rows = sessions_of(100_050.0) | {
        "trades": [trade(0, 80.0), trade(1, -30.0, symbol="BBB"), trade(2, 10.0, is_open=True, exited_at=None)],
        "fills": [
            fill(0, 1, 50.0, ambiguous=True, worst_price=51.0),
            fill(30, -1, 60.0, ambiguous=True, worst_price=58.0, best_price=60.5, is_stale=True),
            fill(40, 1, 50.0, worst_price=99.0, symbol="BBB", is_defective=True),
        ],
    }

    found = values(rows)

    assert (found["pnl"], found["pnl_worst"], found["pnl_best"]) == (50.0, 20.0, 55.0)
    assert (found["ambiguous_fills"], found["pnl_share_assumed"]) == (2, 35.0 / 50.0)
    assert (found["pnl_stale"], found["pnl_share_stale"]) == (90.0, 90.0 / 120.0)
    assert (found["pnl_defective"], found["pnl_share_defective"]) == (-30.0, 30.0 / 120.0)
    assert (found["pnl_gap_adjacent"], found["pnl_share_gap_adjacent"]) == (0.0, 0.0)
    assert (found["pnl_flagged"], found["pnl_share_flagged"]) == (60.0, 1.0)


@given(curves.any_rows(), st.booleans(), st.data())
def test_metrics_equal_the_twin(rows: dict[str, Any], has_benchmark: bool, data: st.DataObject) -> None:
    size = len(rows["session_equity"])
    market = st.integers(-300, 300).map(lambda step: step / 10_000.0) | st.none()
    benchmark = data.draw(st.lists(market, min_size=size, max_size=size)) if has_benchmark else None

    found = values(rows, benchmark=benchmark, ids=OWN)

    expected = reference_metrics.metrics(rows, curves.CAPITAL, 252.0, 0.01, benchmark)
    assert set(found) == set(expected)
    wrong = {n: (v, expected[n]) for n, v in found.items() if not close_to(v, expected[n], REGISTRY[n].unit)}
    assert wrong == {}


@pytest.mark.parametrize("seed", range(4))
def test_metrics_of_sixty_sessions_equal_the_twin_to_twelve_digits(seed: int) -> None:
    rows, benchmark = curves.result_rows(60, seed), curves.benchmark_returns(60, seed)

    found = values(rows, benchmark=benchmark, ids=OWN)

    expected = reference_metrics.metrics(rows, curves.CAPITAL, 252.0, 0.01, benchmark)
    numbers = {name: value for name, value in found.items() if isinstance(value, float)}
    assert len(numbers) > 45
    assert numbers == {name: pytest.approx(float(expected[name]), rel=1e-12, abs=0.0) for name in numbers}


@given(curves.any_rows())
def test_a_metric_is_a_finite_value_an_instant_or_a_null_with_its_reason(rows: dict[str, Any]) -> None:
    for row in computed(rows).values():
        assert [row["value"] is None, row["moment"] is None, row["note"] is None].count(False) == 1
        assert row["note"] is None or len(row["note"]) > 5
        assert row["value"] is None or math.isfinite(row["value"])


@given(curves.any_rows(), st.integers(-8, 8))
def test_money_scales_and_ratios_do_not(rows: dict[str, Any], exponent: int) -> None:
    factor = 2.0**exponent
    money = {"equity", "cash", "fees", "turnover", "pnl", "gross_exposure", "price", "worst_price", "best_price"}
    scaled = {
        name: [{key: value * factor if key in money else value for key, value in row.items()} for row in table]
        for name, table in rows.items()
    }

    before, after = values(rows), values(scaled, Terms(TERMS.capital * factor, 252.0, 0.01, 900_000_000, 88.0))

    for name, value in before.items():
        expected = value * factor if value is not None and REGISTRY[name].unit == "quote" else value
        assert after[name] == expected, name


@given(curves.any_rows(), st.randoms(use_true_random=False))
def test_the_order_of_trade_and_fill_rows_changes_nothing(rows: dict[str, Any], source: Any) -> None:
    shuffled = rows | {name: source.sample(rows[name], len(rows[name])) for name in ("trades", "fills")}

    assert computed(shuffled) == computed(rows)


@given(st.lists(st.floats(-0.5, 0.5), min_size=4, max_size=30), st.randoms(use_true_random=False))
def test_the_order_of_sessions_changes_no_moment_and_no_percentile(drawn: list[float], source: Any) -> None:
    one, other = np.array(drawn), np.array(source.sample(drawn, len(drawn)))

    def answers(found: Any) -> list[Any]:
        formulas = [of.skew, of.kurtosis, of.tail_ratio, of.mean, of.deviation]
        formulas += [lambda r: of.sharpe(r, per_year=252.0), lambda r: of.sortino(r, per_year=252.0)]
        formulas += [lambda r: of.percentile(r, 5), lambda r: of.worst_mean(r, 5)]
        return [answer_of(formula, found) for formula in formulas]

    assert answers(one) == answers(other)


def answer_of(formula: Any, found: Any) -> Any:
    """The value, or the reason why there is none."""
    try:
        return formula(found)
    except of.UndefinedError as reason:
        return str(reason)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 50))
def test_two_runs_end_to_end_are_one(first: int, second: int, seed: int) -> None:
    rows = curves.result_rows(first + second, seed, trades=0)
    cut = {"session_equity": first, "equity": first * curves.BARS}
    head = rows | {name: rows[name][:at] for name, at in cut.items()}
    tail = rows | {name: rows[name][at:] for name, at in cut.items()}

    whole, one = values(rows), values(head)
    other = values(tail, Terms(one["end_equity"], 252.0, 0.01, 900_000_000, 88.0))

    grown = (1.0 + one["total_return"]) * (1.0 + other["total_return"]) - 1.0
    assert whole["total_return"] == pytest.approx(grown, abs=1e-15)
    for name in ("fees", "traded", "pnl", "sessions"):
        assert whole[name] == pytest.approx(one[name] + other[name], rel=1e-12, abs=1e-9)
    for name in ("max_drawdown", "max_drawdown_bars"):
        assert whole[name] <= min(one[name], other[name])


@given(st.lists(st.integers(0, 20), min_size=1, max_size=12), st.integers(1, 20))
def test_the_deepest_drawdown_is_the_deepest_of_all_pairs(points: list[int], capital: int) -> None:
    found = of.deepest(np.array(points, dtype=np.float64), float(capital))

    curve = [float(capital), *map(float, points)]
    pairs = [(curve[j] / curve[i] - 1.0, i, j) for i in range(len(curve)) for j in range(i, len(curve)) if curve[i] > 0]
    assert found.depth_frac == min(depth for depth, _, _ in pairs)
    if found.depth_frac < 0.0:
        assert curve[found.trough + 1] / curve[found.peak + 1] - 1.0 == found.depth_frac
        assert curve[found.peak + 1] == max(curve[: found.trough + 2])
        later = [k for k in range(found.trough, len(points)) if points[k] >= curve[found.peak + 1]]
        assert found.recovery == (later[0] if later else None)


NOTHING: dict[str, Any] = {}
BROKE = sessions_of(50_000.0, 0.0, 10.0)
EDGES = [
    (NOTHING, "total_return", "no session"),
    (NOTHING, "sharpe", "no session"),
    (NOTHING, "max_drawdown", "no session"),
    (NOTHING, "max_drawdown_bars_peak", "no session"),
    (NOTHING, "exposure", "no bar"),
    (NOTHING, "win_rate", "no closed trade"),
    (NOTHING, "expectancy", "no closed trade"),
    (NOTHING, "sqn", "no closed trade"),
    (NOTHING, "average_win", "no winning trade"),
    (NOTHING, "pnl_share_stale", "no trade"),
    (NOTHING, "pnl_worst", "no session"),
    (sessions_of(101_000.0), "volatility", "1 of at least 2 values"),
    (sessions_of(101_000.0), "sharpe", "1 of at least 2 values"),
    (sessions_of(101_000.0), "sharpe@lean", "one session, and its return is left out"),
    (sessions_of(101_000.0), "skew", "1 of at least 3 values"),
    (sessions_of(101_000.0), "max_drawdown_trough", "no drawdown"),
    (sessions_of(101_000.0), "calmar", "no drawdown"),
    (sessions_of(100_000.0, 100_000.0), "sharpe", "returns do not vary"),
    (sessions_of(101_000.0, 102_010.0, 103_030.1), "sharpe", "returns do not vary"),
    (sessions_of(101_000.0, 102_010.0, 103_030.1), "sortino", "no return is below the risk-free rate"),
    (sessions_of(100_000.0, 100_000.0, 100_000.0, 100_000.0), "kurtosis", "returns do not vary"),
    (sessions_of(100_000.0), "tail_ratio", "the 5th percentile is zero"),
    (sessions_of(100_000.0), "pnl_share_assumed", "the run gained or lost nothing"),
    (sessions_of(99_000.0, 98_000.0), "max_drawdown_peak", "the peak is the starting capital, before the first bar"),
    (sessions_of(99_000.0, 98_000.0), "max_drawdown_recovery", "not recovered by the end"),
    (BROKE, "sharpe", "equity is zero or below at point 1, so the next return has no base"),
    (BROKE, "gross_exposure", "equity is zero, below, or not a number at some bar"),
    (sessions_of(-5.0), "annualised_return", "more than the starting capital is lost, so no yearly return gives it"),
    (sessions_of(math.nan, 1.0), "sharpe", "equity is not a number at point 0"),
    (sessions_of(math.nan, 1.0), "max_drawdown", "equity is not a number at point 0"),
    (sessions_of(1.0, math.nan), "total_return", "the last equity is not a number"),
    (sessions_of(1.0, math.inf), "total_return", "the last equity is not a number"),
    (sessions_of(1e308, 1e308), "annualised_return", "the yearly return is beyond the largest number"),
    (sessions_of(99_000.0, 98_000.0), "beta", "no benchmark was given"),
    ({"trades": [trade(0, 5.0)]}, "profit_factor", "nothing was lost, so there is nothing to divide by"),
    ({"trades": [trade(0, 0.0)]}, "profit_factor@lean", "nothing was lost, so there is nothing to divide by"),
    ({"trades": [trade(0, 5.0)]}, "sqn", "1 of at least 2 closed trades"),
    ({"trades": [trade(0, 5.0), trade(1, 5.0)]}, "sqn", "the trades' results do not vary"),
    ({"trades": [trade(3, math.nan)]}, "win_rate", "pnl is not a number in trade 3"),
    ({"trades": [trade(3, math.nan)]}, "longest_wins", "pnl is not a number in trade 3"),
    ({"trades": [trade(3, -math.inf)]}, "longest_wins", "pnl is not a number in trade 3"),
    ({"trades": [trade(3, math.nan)]}, "pnl_stale", "pnl is not a number in trade 3"),
    ({"trades": [trade(0, 0.0)]}, "pnl_share_stale", "no trade gained or lost anything"),
]


@pytest.mark.parametrize(("rows", "name", "reason"), EDGES)
def test_a_metric_without_a_value_says_why(rows: dict[str, Any], name: str, reason: str) -> None:
    row = computed(rows, ids=[name])[name]

    assert (row["value"], row["moment"], row["note"]) == (None, None, reason)


VALUES = [
    ({"trades": [trade(3, math.nan), trade(4, 5.0)]}, "trades", 2),
    (NOTHING, "trades", 0),
    (NOTHING, "fees", 0.0),
    (NOTHING, "longest_wins", 0),
    (sessions_of(101_000.0), "max_drawdown", 0.0),
    (sessions_of(101_000.0), "ulcer", 0.0),
    (sessions_of(100_000.0, 100_000.0), "volatility", 0.0),
    (sessions_of(101_000.0, 102_010.0, 103_030.1), "volatility", 0.0),
    (sessions_of(50_000.0, 0.0), "total_return", -1.0),
    (sessions_of(50_000.0, 0.0), "annualised_return", -1.0),
    (sessions_of(50_000.0, -50_000.0), "max_drawdown", -1.5),
    (BROKE, "max_drawdown", -1.0),
    ({"trades": [trade(k, -5.0) for k in range(3)]}, "win_rate", 0.0),
    ({"trades": [trade(k, -5.0) for k in range(3)]}, "profit_factor", 0.0),
    ({"trades": [trade(k, -5.0) for k in range(3)]}, "longest_losses", 3),
    ({"trades": [trade(0, 5.0)]}, "profit_factor@lean", 10.0),
    ({"trades": [trade(0, 5.0, is_open=True)]}, "trades", 0),
    ({"trades": [trade(0, 5.0, is_open=True)]}, "open_trades", 1),
]


@pytest.mark.parametrize(("rows", "name", "expected"), VALUES)
def test_an_edge_that_has_a_value(rows: dict[str, Any], name: str, expected: float) -> None:
    assert computed(rows, ids=[name])[name]["value"] == expected


def test_a_run_that_never_moves_has_no_negative_zero() -> None:
    found = values(sessions_of(curves.CAPITAL, curves.CAPITAL))

    assert found["max_drawdown@lean"] == 0.0
    assert [name for name, value in found.items() if value == 0.0 and math.copysign(1.0, value) < 0.0] == []


def test_sessions_without_a_benchmark_are_left_out_of_beta() -> None:
    rows = sessions_of(101_000.0, 100_000.0, 102_000.0, 101_000.0)
    returns = of.returns_of(np.array([101_000.0, 100_000.0, 102_000.0, 101_000.0]), 100_000.0)

    found = values(rows, benchmark=[math.nan, *(2.0 * returns[1:]).tolist()])

    assert found["beta"] == pytest.approx(0.5, rel=1e-14)


def test_fills_belong_to_the_trade_of_their_symbol_and_time() -> None:
    trades = trade_stats.Stay(np.array([0, 0, 1]), np.array([10, 20, 10]), np.array([20, 30, 99]))
    fills = trade_stats.Stay(np.array([0, 0]), np.array([20, 31]), np.array([20, 31]))

    assert trade_stats.touched(trades, fills).tolist() == [True, True, False]


def test_terms_that_cannot_be_are_all_named() -> None:
    with pytest.raises(ConfigError) as caught:
        Terms(0.0, math.nan, risk_free_frac=-1.0, interval_us=-5, elapsed_days=0.0)

    for name in ("capital is 0.0", "sessions_per_year is nan", "interval_us is -5", "elapsed_days", "risk_free_frac"):
        assert name in str(caught.value)


def test_missing_tables_and_columns_are_all_named() -> None:
    tables = curves.as_tables(NOTHING)
    del tables["fills"]
    tables["trades"] = tables["trades"].drop_columns(["pnl", "symbol"])

    with pytest.raises(UsageError, match=r"table fills is missing; table trades lacks symbol, pnl"):
        compute(tables, TERMS)


def test_rows_out_of_order_are_refused() -> None:
    tables = curves.as_tables(sessions_of(1.0, 2.0))
    tables["equity"] = tables["equity"].take(pa.array([1, 0]))

    with pytest.raises(UsageError, match=r"equity\.known_at does not rise at row 1"):
        compute(tables, TERMS)


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(UsageError, match="no metric sharp, sharpe@nobody; known are capital"):
        compute(curves.as_tables(NOTHING), TERMS, ids=["sharp", "sharpe", "sharpe@nobody"])


def test_chosen_metrics_come_in_the_order_of_the_registry() -> None:
    assert list(computed(NOTHING, ids=["sharpe@lean", "sharpe", "capital"])) == ["capital", "sharpe", "sharpe@lean"]


def test_ids_are_unique_and_variants_name_their_library() -> None:
    rows = computed(NOTHING)

    assert len(rows) == len(REGISTRY)
    assert {row["variant"] for row in rows.values()} > {"", "lean", "vectorbt", "empyrical", "backtesting.py"}
    assert all(row["id"] == "@".join(filter(None, (row["metric"], row["variant"]))) for row in rows.values())
    assert all(row["formula"] and row["unit"] for row in rows.values())


DOCUMENT = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", REGISTRY)
def test_every_metric_is_documented_with_its_formula(name: str) -> None:
    metric = REGISTRY[name]

    assert f"| `{name}` | {metric.unit} | {metric.formula} |" in DOCUMENT
