"""A quote that bars do not hold is the close with the spread around it."""

import datetime as dt

import pytest
from pydantic import ValidationError

from backtester.config.execution import Execution
from tests.execution.two_engines import MINUTE, Case, Day, exact, real

OPEN = 1_750_000_020_000_000 // MINUTE * MINUTE
LABELS = [OPEN + k * MINUTE for k in range(3)]


@pytest.mark.parametrize("engine", [real, exact])
def test_a_market_order_buys_at_the_ask_and_sells_at_the_bid_of_the_next_bars_close(engine):
    bars = {(k, 0): (99.0, 102.0, 98.0, close, 1000.0) for k, close in enumerate((100.0, 101.0, 100.5))}
    asks = [{"label": 0, "symbol": 0, "kind": "enter", "side": 1}, {"label": 1, "symbol": 0, "kind": "exit"}]
    rules = {"market_price": "quote", "spread_bps": 20.0, "size_unit": "units", "size_amount": 10.0, "lot": 1.0}
    outcome = engine(Case([Day(dt.date(2025, 6, 16), LABELS, LABELS[-1] + MINUTE)], bars, asks, rules))

    assert [float(fill["price"]) for fill in outcome.fills] == pytest.approx([101.101, 100.3995], rel=1e-12)
    assert [fill["rule"] for fill in outcome.fills] == ["market_close", "market_close"]


def test_a_quote_without_a_spread_is_refused():
    with pytest.raises(ValidationError, match="market_price = quote needs the spread"):
        Execution(market_price="quote")
