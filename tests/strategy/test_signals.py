"""What was asked for, as rows."""

import datetime as dt

import numpy as np

from backtester.data.columns import text
from backtester.schema import LEDGER_TABLES
from backtester.strategy.signals import signals_table
from tests.sessions import MINUTE, OPEN
from tests.strategy.test_columns import asked


def rows(requests):
    labels = OPEN + MINUTE * np.arange(3, dtype=np.int64)
    table = signals_table(requests, labels=labels, known_at=labels + MINUTE, symbols=text(["A", "B"]))
    table.validate(full=True)
    assert table.schema == LEDGER_TABLES["signals"]
    return table.to_pylist()


def test_each_request_is_a_row_with_nulls_where_nothing_was_said():
    found = rows(
        asked(
            enter=[None, 1, None, None, None, None],
            units=[None, 5.0, None, None, None, None],
            limit=[None, 9.5, None, None, None, None],
            exit=[None, None, True, None, None, None],
            target_weight=[None, None, None, -0.5, None, None],
            rank=[0.0, 2.0, 0.0, 0.0, 0.0, 0.0],
        )
    )

    opened = dt.datetime.fromtimestamp(OPEN / 1e6, dt.UTC)
    minute = dt.timedelta(minutes=1)
    nothing = {"unit": None, "amount": None, "order_type": "market", "limit_price": None, "stop_price": None}
    nothing |= {"side": 0, "rank": 0.0}
    assert found == [
        {**nothing, "timestamp": opened, "known_at": opened + minute, "symbol": "B", "kind": "enter", "unit": "units",
         "side": 1, "amount": 5.0, "order_type": "limit", "limit_price": 9.5, "rank": 2.0},
        {**nothing, "timestamp": opened + minute, "known_at": opened + 2 * minute, "symbol": "A", "kind": "exit",
         "order_type": None},
        {**nothing, "timestamp": opened + minute, "known_at": opened + 2 * minute, "symbol": "B", "kind": "target",
         "unit": "equity_frac", "amount": -0.5},
    ]  # fmt: skip


def test_no_request_is_no_row():
    assert rows(asked()) == []
