"""The ledger's money on paper: commissions, cash, sizes, lots, margin and carrying costs."""

import numpy as np
import pytest

from backtester.config.execution import Commission
from backtester.kernels import state as layout
from tests.ledger_cases import BARS, ends, fills, market, run

BUY = {"label": 1, "kind": "enter", "side": 1}
SELL = {"label": 1, "kind": "enter", "side": -1}


def commissions(simulation):
    return [round(float(value), 9) for value in simulation.written.fill_amounts[:, layout.F_COMMISSION]]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"model": "percent", "rate": 0.001}, [1.01, 0.99]),
        ({"model": "per_order", "per_order": 1.5}, [1.5, 1.5]),
        ({"model": "per_contract"}, [8.5, 8.5]),
        ({"model": "ib_fixed"}, [1.0, 1.0]),
        ({"model": "per_unit", "per_unit": 0.2, "maximum_frac": 0.001}, [1.01, 0.99]),
        ({"model": "per_unit", "per_unit": 0.001, "minimum": 2.0, "maximum_frac": 0.001}, [1.01, 0.99]),
        (
            {"model": "per_unit", "per_unit": 0.001, "minimum": 2.0, "maximum_frac": 0.001, "cap_spares_minimum": True},
            [2.0, 2.0],
        ),
        ({"model": "tiered", "tiers": [[10.0, 0.3]], "per_unit": 0.1}, [3.0, 1.0]),
        ({"sell_rate": 0.01, "sell_per_unit": 0.5, "sell_cap": 2.0}, [0.0, 11.9]),
        ({"model": "maker_taker", "maker_rate": -0.001, "taker_rate": 0.002}, [2.02, 1.98]),
    ],
)
def test_a_commission_model_charges_what_its_formula_says(model, expected):
    done = run(BUY, {"label": 3, "kind": "exit"}, commission=Commission.model_validate(model))

    assert commissions(done) == expected
    assert done.final_equity == pytest.approx(100_000 - 20 - sum(expected), abs=1e-9)


def test_a_limit_filled_inside_the_bar_pays_the_makers_rate():
    maker = Commission(model="maker_taker", maker_rate=-0.001, taker_rate=0.002)

    assert commissions(run({**BUY, "limit": 99.7}, commission=maker)) == [-0.997]


def test_partial_fills_pay_a_minimum_once_an_order():
    order = {"label": 1, "kind": "target", "unit": "units", "amount": 200.0}
    done = run(order, volume_frac=0.1, commission=Commission(per_unit=0.01, minimum=1.5))

    assert commissions(done) == [1.5, 0.2, 0.3]


@pytest.mark.parametrize(
    ("rules", "expected", "why"),
    [
        ({"cash": "reduce"}, [(2, 1, 9.0, 101.0)], [(0, "cancelled", "cash")]),
        ({"cash": "at_fill"}, [], [(0, "rejected", "cash")]),
        ({"cash": "at_submit"}, [], [(0, "rejected", "cash")]),
        ({"cash": "none"}, [(2, 1, 10.0, 101.0)], []),
        ({"cash": "at_fill", "leverage": 2.0}, [(2, 1, 10.0, 101.0)], []),
    ],
)
def test_an_entry_the_cash_does_not_cover(rules, expected, why):
    done = run(BUY, capital=1_000.0, **rules)

    assert fills(done) == expected
    assert ends(done) == why


def test_a_reduced_entry_leaves_room_for_its_commission():
    # 9 x 101 + 1 = 910 is covered by 910.0 and no longer by 909.99.
    fee = Commission(per_order=1.0)

    assert fills(run(BUY, capital=910.0, commission=fee))[0][2] == 9.0
    assert fills(run(BUY, capital=909.99, commission=fee))[0][2] == 8.0
    assert fills(run(BUY, capital=909.99, commission=Commission(per_unit=0.01, minimum=1.0)))[0][2] == 8.0


def test_a_short_needs_its_value_in_cash_beside_what_it_brings():
    assert fills(run(SELL, capital=1_010.0)) == [(2, -1, 10.0, 101.0)]
    assert fills(run(SELL, capital=1_009.0)) == [(2, -1, 9.0, 101.0)]


@pytest.mark.parametrize(
    ("rules", "quantity"),
    [
        ({"size_unit": "notional", "size_amount": 1_000.0}, 9.0),
        ({"size_unit": "notional", "size_amount": 1_000.0, "lot": 0.0}, 1_000.0 / 101.0),
        ({"size_unit": "equity_frac", "size_amount": 0.1}, 99.0),
        ({"size_unit": "cash_frac", "size_amount": 1.0, "lot": 0.0}, 100_000.0 / 101.0),
        ({"size_unit": "cash_frac", "size_amount": 1.0, "commission": Commission(rate=0.01)}, 980.0),
        ({"size_unit": "notional", "size_amount": 1_000.0, "size_at": "fill", "slippage_bps": 1_000.0}, 9.0),
        ({"size_unit": "units", "size_amount": 10.0, "lot": 3.0}, 9.0),
    ],
)
def test_an_entry_is_sized_as_its_unit_says(rules, quantity):
    assert fills(run(BUY, **rules))[0][2] == pytest.approx(quantity, rel=1e-12)


def test_lots_close_first_in_first_out_or_at_their_average():
    orders = [
        {"label": 0, "kind": "order", "unit": "units", "amount": 10.0, "side": 1},
        {"label": 3, "kind": "order", "unit": "units", "amount": 10.0, "side": 1},
        {"label": 5, "kind": "order", "unit": "units", "amount": 10.0, "side": -1},
    ]
    realized = [
        run(*orders, lots=lots).written.fill_amounts[-1, layout.F_REALIZED].round(9) for lots in ("fifo", "average")
    ]

    # Bought at 100.4 and 99, sold at 103.
    assert realized == [26.0, 33.0]


def test_interest_and_borrow_fees_are_paid_for_the_days_between_sessions():
    rows = [(t, 0, *bar) for t, bar in enumerate(BARS)]
    where = market([(20_000, rows, None), (20_003, rows, None)])
    done = run(SELL, where=where, interest_rate=0.1, borrow_rate=0.2)
    cash = 101_010.0

    # Short 10, marked at 102 over three days.
    assert done.sessions[1, layout.S_INTEREST] == pytest.approx(cash * 0.1 * 3 / 365, rel=1e-12)
    assert done.sessions[1, layout.S_BORROW] == pytest.approx(1_020 * 0.2 * 3 / 365, rel=1e-12)


def test_a_trade_knows_its_worst_and_best_and_how_long_it_was_held():
    done = run(BUY, {"label": 5, "kind": "exit"})
    trade, facts = done.written.trade_amounts[0], done.written.trades[0]

    # Bought at 101 at label 2's open, sold at 103 at label 6's: lowest 97, highest 104.
    assert trade[[layout.T_WORST, layout.T_BEST, layout.T_FLOWS]].tolist() == [-40.0, 30.0, 20.0]
    assert facts[layout.TRADE_BARS] == 4


def test_a_reversing_fill_ends_one_trade_and_begins_the_next():
    done = run(
        {"label": 1, "kind": "target", "unit": "units", "amount": 10.0},
        {"label": 3, "kind": "target", "unit": "units", "amount": -5.0},
        commission=Commission(per_unit=0.1),
    )

    assert fills(done) == [(2, 1, 10.0, 101.0), (4, -1, 15.0, 99.0)]
    assert done.written.trade_amounts[0, layout.T_PAID] == pytest.approx(2.0)
    assert done.state.book[0, [layout.POSITION, layout.AVERAGE, layout.PAID]].tolist() == pytest.approx([-5, 99, 0.5])
    assert np.isclose(done.final_equity, 100_000 - 20 - 2.5 + 5 * (99 - 102))
