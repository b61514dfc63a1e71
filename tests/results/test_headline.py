"""The metrics of a run as it prints them."""

from __future__ import annotations

import json

import pytest

from backtester.data.run_dir import RunDir
from backtester.results import headline as subject
from backtester.results import views


def test_the_headline_shows_a_runs_own_metrics(small_run: RunDir) -> None:
    metrics = subject.metrics_of(small_run)

    assert metrics["pnl"] == pytest.approx(17.9935)
    assert subject.headline(metrics) == [
        "net P&L       17.99 (0.04 %), end equity 50,017.99",
        f"Sharpe        {metrics['sharpe']:.2f}, Sortino {metrics['sortino']:.2f}, a year of 250 sessions",
        "max drawdown  -0.07 % at session ends (the start to 2025-07-02), -0.19 % by bars (2025-07-02 14:00 UTC)",
        "trades        3 ended, 1 open, 33.33 % won, profit factor 0.54",
        f"fees          9.00, turnover {metrics['turnover']:,.2f} times equity a year",
        f"exposure      95.00 % of bars, {100.0 * metrics['gross_exposure']:.2f} % of equity on average",
        "if doubtful   worst 16.99, best 17.99: assumptions decide 5.56 % of the P&L (1 fills)",
        "touched by    gaps 30.52 %, stale bars 41.89 %, defective bars 0.00 % of all P&L",
    ]


def test_metrics_as_json_have_iso_moments_and_nulls(small_run: RunDir) -> None:
    found = json.loads(json.dumps(subject.as_json(subject.metrics_of(small_run))))

    assert found["max_drawdown_trough"] == "2025-07-02T00:00:00Z"
    assert found["max_drawdown_peak"] is None
    assert found["trades"] == 3.0
    assert not any("@" in name for name in found)


def test_a_number_without_a_value_is_a_dash(small_run: RunDir) -> None:
    metrics = dict.fromkeys(subject.metrics_of(small_run))

    assert subject.headline(metrics)[0] == "net P&L       - (-), end equity -"
    assert subject.headline(metrics)[2] == "max drawdown  - at session ends, - by bars"


def test_refused_orders_are_counted_by_reason(small_run: RunDir) -> None:
    with views.connect(views.Resources.of_machine()) as connection:
        committed = views.records(small_run)
        views.attach(connection, views.stored_tables(small_run, committed, ["stored_order_events"]), [])
        asked = "select reason, count(*) from stored_order_events where event = 'rejected' group by all"
        expected = dict(connection.execute(asked).fetchall())

    assert expected
    assert subject.refusals(small_run) == expected


def test_refusals_are_one_line_and_none_without_any() -> None:
    assert subject.refusals_line({"cash": 1200, "quality": 3}) == ["refused       1,203 orders: cash 1,200, quality 3"]
    assert subject.refusals_line({}) == []
