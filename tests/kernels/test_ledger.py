"""The ledger's core on paper: when orders fill and at what price, on the eight bars of the golden vectors."""

import pytest

from tests.ledger_cases import ends, fill_rules, fills, roles, run

BUY = {"label": 1, "kind": "enter", "side": 1}
OPEN_98 = {"label": 4, "kind": "enter", "side": 1}


def test_a_market_order_fills_at_the_next_open_and_its_exit_too():
    done = run(BUY, {"label": 3, "kind": "exit"})

    assert fills(done) == [(2, 1, 10.0, 101.0), (4, -1, 10.0, 99.0)]
    assert done.equity.tolist() == [100_000, 100_000, 99_993, 99_990, 99_980, 99_980, 99_980, 99_980]
    assert roles(done) == ["entry", "exit"]


@pytest.mark.parametrize(
    ("rules", "price"),
    [
        ({"fill_bar": "same"}, 101.0),
        ({"market_price": "close"}, 100.3),
        ({"market_price": "mid"}, 100.8),
        ({"slippage_bps": 10.0}, 101.101),
        ({"market_price": "close", "slippage_bps": 5.0}, 100.35015),
        ({"slippage_ticks": 2.0, "tick": 0.01}, 101.02),
        ({"spread_bps": 20.0}, 101.101),
        ({"spread_bps": 10.0, "spread_on": "entry"}, 101.101),
    ],
)
def test_a_market_order_fills_at_the_price_its_rules_name(rules, price):
    assert fills(run(BUY, **rules))[0][2:] == (10.0, price)


@pytest.mark.parametrize(
    ("order", "rules", "expected", "rule"),
    [
        ({"limit": 98.2}, {}, (5, 1, 10.0, 98.0), "limit_at_open"),
        ({"limit": 98.2}, {"limit_price": "limit"}, (5, 1, 10.0, 98.2), "limit"),
        ({"limit": 99.5}, {}, (4, 1, 10.0, 99.0), "limit_at_open"),
        ({"limit": 99.7}, {}, (3, 1, 10.0, 99.7), "limit"),
        ({"limit": 99.7}, {"limit_touch": "through"}, (4, 1, 10.0, 99.0), "limit_at_open"),
        ({"limit": 98.51}, {"limit_touch": "close"}, (4, 1, 10.0, 98.51), "limit"),
        ({"stop": 103.5}, {}, (5, 1, 10.0, 103.5), "stop"),
        ({"stop": 101.5}, {"stop_touch": "through"}, (5, 1, 10.0, 101.5), "stop"),
        ({"stop": 102.0}, {"stop_touch": "close", "stop_price": "stop_or_close"}, (5, 1, 10.0, 103.0), "stop_at_close"),
        ({"stop": 103.5, "limit": 103.6}, {}, (5, 1, 10.0, 103.5), "stop_limit"),
        ({"stop": 103.5, "limit": 103.0}, {}, (6, 1, 10.0, 103.0), "limit"),
        ({"stop": 102.0, "limit": 97.5}, {}, None, None),
    ],
)
def test_a_priced_order_fills_where_its_condition_holds(order, rules, expected, rule):
    done = run({**BUY, **order}, **rules)

    assert fills(done) == ([expected] if expected else [])
    assert fill_rules(done) == ([rule] if rule else [])


@pytest.mark.parametrize(
    ("legs", "rules", "expected"),
    [
        ({"stop_loss": 98.8}, {}, (4, -1, 10.0, 98.8)),
        ({"stop_loss": 99.5}, {}, (4, -1, 10.0, 99.0)),
        ({"stop_loss": 99.5}, {"stop_price": "stop"}, (4, -1, 10.0, 99.5)),
        ({"stop_loss": 98.0, "take_profit": 103.5}, {}, (5, -1, 10.0, 98.0)),
        ({"stop_loss": 97.5, "take_profit": 103.5}, {}, (5, -1, 10.0, 97.5)),
        ({"stop_loss": 97.5, "take_profit": 103.5}, {"intrabar": "target_first"}, (5, -1, 10.0, 103.5)),
        ({"stop_loss": 97.5, "take_profit": 103.5}, {"intrabar": "ohlc"}, (5, -1, 10.0, 103.5)),
        ({"stop_loss": 97.5, "take_profit": 103.5}, {"intrabar": "olhc"}, (5, -1, 10.0, 97.5)),
        ({"stop_loss": 97.5, "take_profit": 103.5}, {"intrabar": "adaptive"}, (5, -1, 10.0, 97.5)),
        ({"exit_after_bars": 2}, {}, (5, -1, 10.0, 98.0)),
        ({"leg_trail": 2.0}, {}, (4, -1, 10.0, 99.0)),
    ],
)
def test_a_leg_closes_the_position_where_its_condition_holds(legs, rules, expected):
    assert fills(run({**BUY, **legs}, **rules)) == [(2, 1, 10.0, 101.0), expected]


def test_legs_meet_the_bar_of_an_entry_at_its_open_only_when_armed_there():
    legs = {"stop_loss": 97.5, "take_profit": 103.5}

    assert fills(run({**OPEN_98, **legs}))[1] == (5, -1, 10.0, 97.5)
    assert fills(run({**OPEN_98, **legs}, arm="next_bar"))[1] == (6, -1, 10.0, 103.5)


def test_a_bar_gives_a_share_of_its_volume_and_the_rest_is_carried():
    done = run({"label": 1, "kind": "target", "unit": "units", "amount": 200.0}, volume_frac=0.1)

    assert fills(done) == [(2, 1, 90.0, 101.0), (3, 1, 80.0, 100.2), (4, 1, 30.0, 99.0)]


def test_an_order_decided_at_the_last_bar_never_fills():
    assert fills(run({"label": 7, "kind": "enter", "side": 1})) == []


def test_a_leg_that_fills_ends_its_siblings():
    done = run({**BUY, "stop_loss": 98.8, "take_profit": 105.0})

    assert ends(done) == [(2, "cancelled", "leg")]
