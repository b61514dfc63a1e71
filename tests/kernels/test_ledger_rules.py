"""The ledger's limits, guards and order lives on paper."""

import pytest

from tests.ledger_cases import BARS, Limits, ends, fills, market, roles, run

BUY = {"label": 1, "kind": "enter", "side": 1}
ROWS = [(t, 0, *bar) for t, bar in enumerate(BARS)]


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"restricted": ["S0"]}, "restricted"),
        ({"max_open_positions": 0}, "max_open_positions"),
        ({"max_per_trade": 1_009.0}, "max_per_trade"),
        ({"max_per_symbol": 1_009.0}, "max_per_symbol"),
        ({"max_gross": 0.01}, "max_gross"),
        ({"max_buying_power": 1_009.0}, "max_buying_power"),
    ],
)
def test_an_entry_over_a_limit_is_refused_with_its_name(limits, reason):
    done = run(BUY, limits=Limits(**limits))

    assert fills(done) == []
    assert ends(done) == [(0, "rejected", reason)]


@pytest.mark.parametrize("lot", [0.0, 1.0, 0.001])
@pytest.mark.parametrize(
    "asked",
    [
        {"kind": "enter", "side": 1, "unit": "units", "amount": 2e18},
        {"kind": "enter", "side": -1, "unit": "units", "amount": 1e300},
        {"kind": "order", "side": 1, "unit": "units", "amount": float("inf")},
        {"kind": "enter", "side": 1, "unit": "notional", "amount": 1e308},
        {"kind": "enter", "side": 1, "unit": "equity_frac", "amount": 1e308},
        {"kind": "target", "unit": "units", "amount": -1e300},
        {"kind": "target", "unit": "equity_frac", "amount": 1e308},
        {"kind": "target", "unit": "notional", "amount": float("nan")},
    ],
)
@pytest.mark.parametrize("size_at", ["decision", "fill"])
def test_a_quantity_beyond_all_sense_is_refused_as_none_is(asked, lot, size_at):
    done = run({"label": 1, **asked}, lot=lot, size_at=size_at, cash="none")

    assert fills(done) == []
    assert ends(done) == [(0, "rejected", "quantity")]


def test_prices_beyond_all_sense_are_rounded_to_themselves():
    limit = {"label": 1, "kind": "order", "side": -1, "unit": "units", "amount": 1.0, "limit": 1e300}
    stop = {"label": 1, "kind": "order", "side": 1, "unit": "units", "amount": 1.0, "stop": 1e300}
    done = run(limit, stop, tick=0.01, round_orders=True)

    assert fills(done) == []
    assert (done.written.order_amounts[0, 1], done.written.order_amounts[1, 2]) == (1e300, 1e300)


def test_an_entry_at_its_limit_passes():
    limits = Limits(max_per_trade=1_010.0, max_per_symbol=1_010.0, max_buying_power=1_010.0, max_open_positions=1)

    assert len(fills(run(BUY, limits=limits))) == 1


def test_flat_by_exits_before_the_close_and_refuses_what_opens_after():
    late = {"label": 5, "kind": "enter", "side": 1}
    done = run(BUY, late, limits=Limits(flat_by="close-3m"))

    # Eight labels: the fifth is over at close - 3m.
    assert fills(done) == [(2, 1, 10.0, 101.0), (5, -1, 10.0, 98.0)]
    assert ends(done) == [(2, "rejected", "flat_by")]
    assert roles(done) == ["entry", "flat_by", "entry"]


def test_what_flat_by_could_not_sell_is_closed_at_its_mark_on_the_last_label():
    where = market([(20_000, [row for row in ROWS if row[0] < 5], 8)], flat_by=180_000_000)
    done = run(BUY, where=where, limits=Limits(flat_by="close-3m"))

    assert fills(done) == [(2, 1, 10.0, 101.0), (7, -1, 10.0, 98.5)]
    assert done.state.book[0, 0] == 0.0


def test_a_daily_loss_halts_entries_until_the_next_session_and_may_flatten():
    orders = [BUY, {"label": 5, "kind": "order", "unit": "units", "amount": 1.0, "side": 1}]
    halted = run(*orders, limits=Limits(max_daily_loss=20.0))
    flat = run(*orders, limits=Limits(max_daily_loss=20.0, daily_loss_action="flatten"))

    assert ends(halted) == [(1, "rejected", "halted")]
    # Down 25 at the close of label 4.
    assert fills(flat) == [(2, 1, 10.0, 101.0), (5, -1, 10.0, 98.0)]


def test_a_margin_call_exits_every_position():
    done = run(BUY, capital=520.0, leverage=2.0, maintenance=0.5)

    # Equity 505 at label 4's mark of 985: 0.5 of it is 492.5; at label 2: 513 against 501.5. Nothing is called.
    assert len(fills(done)) == 1
    called = run(BUY, capital=506.0, leverage=2.0, maintenance=0.5)
    # Label 2: 506 - 7 = 499 against 501.5.
    assert fills(called) == [(2, 1, 10.0, 101.0), (3, -1, 10.0, 100.2)]


@pytest.mark.parametrize(
    ("order", "end"),
    [
        ({"tif": "day", "limit": 90.0}, (0, "expired", "day")),
        ({"tif": "ioc", "limit": 90.0}, (0, "cancelled", "ioc")),
        ({"tif": "fok", "limit": 90.0}, (0, "cancelled", "fok")),
        ({"tif": "gtd", "until": 20_000 * 86_400_000_000 + 240_000_000, "limit": 90.0}, (0, "expired", "gtd")),
        ({"limit": -1.0}, (0, "rejected", "price")),
        ({"unit": "units", "amount": 0.4}, (0, "rejected", "quantity")),
    ],
)
def test_an_order_that_does_not_fill_ends_for_a_reason(order, end):
    done = run({**BUY, **order})

    assert fills(done) == []
    assert ends(done) == [end]


def test_an_oco_group_fills_once():
    one, two = ({"label": 1, "kind": "order", "unit": "units", "amount": 1.0, "side": 1, "group": 7} for _ in range(2))
    done = run({**one, "stop": 103.5}, {**two, "limit": 99.7})

    assert fills(done) == [(3, 1, 1.0, 99.7)]
    assert ends(done) == [(0, "cancelled", "oco")]


def test_a_new_target_replaces_the_order_of_the_old_one():
    done = run(
        {"label": 1, "kind": "target", "unit": "units", "amount": 5.0, "limit": 90.0},
        {"label": 2, "kind": "target", "unit": "units", "amount": 6.0},
    )

    assert fills(done) == [(3, 1, 6.0, 100.2)]
    assert ends(done) == [(0, "replaced", "replaced")]


def test_a_missing_bar_makes_an_order_wait_or_ends_it():
    where = market([(20_000, [row for row in ROWS if row[0] not in (2, 3)], 8)])

    assert fills(run(BUY, where=where)) == [(4, 1, 10.0, 99.0)]
    assert ends(run(BUY, where=where, missing_bar="cancel")) == [(0, "cancelled", "missing")]
    assert ends(run(BUY, where=where, stale_after_bars=2)) == [(0, "rejected", "stale")]
    assert len(fills(run(BUY, where=where, stale_after_bars=3))) == 1


def test_orders_on_the_open_and_the_close_wait_for_theirs():
    where = market([(20_000, ROWS, None), (20_001, ROWS, None)])

    assert fills(run({**BUY, "order_type": 6}, where=where)) == [(8, 1, 10.0, 100.0)]
    assert fills(run({**BUY, "order_type": 7}, where=where)) == [(7, 1, 10.0, 102.0)]


@pytest.mark.parametrize(("end", "price"), [("mark", None), ("close", 102.0), ("open", 102.5)])
def test_the_run_ends_as_its_rule_says(end, price):
    done = run(BUY, end=end, is_last=True)

    assert fills(done)[1:] == ([] if price is None else [(7, -1, 10.0, price)])


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("carry", [(2, 1, 9.0, 101.0), (3, 1, 1.0, 100.2)]),
        ("cancel", [(2, 1, 9.0, 101.0)]),
        ("next_tick", [(2, 1, 9.0, 101.0), (2, 1, 1.0, 101.25)]),
    ],
)
def test_what_a_bars_volume_does_not_cover(rest, expected):
    assert fills(run(BUY, volume_frac=0.01, volume_rest=rest, tick=0.25)) == expected
