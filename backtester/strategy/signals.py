"""The SIGNALS table: what a strategy asked for in a session, as it asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from backtester.arrays import Int64, Requests
from backtester.data.columns import dictionary, empty, instants, numbers, text
from backtester.kernels import codes
from backtester.schema import LEDGER_TABLES

SIGNALS = LEDGER_TABLES["signals"]
WORDS = {
    name: text(words) for name, words in (("kind", codes.KINDS), ("unit", codes.UNITS), ("type", codes.ORDER_TYPES))
}


def signals_table(requests: Requests, *, labels: Int64, known_at: Int64, symbols: pa.StringArray) -> pa.Table:
    """SIGNALS of requests whose labels count `labels` and whose symbols count `symbols`."""
    rows = len(requests.label)
    if not rows:
        return empty(SIGNALS)

    def column(name: str) -> Any:
        return np.ascontiguousarray(np.broadcast_to(getattr(requests, name), rows))

    kind, unit, order_type = (column(name).astype(np.int32) for name in ("kind", "unit", "order_type"))
    amount, limit, stop = column("amount"), column("limit"), column("stop")
    is_bare = (kind == codes.EXIT) | (kind == codes.CANCEL)
    arrays = [
        instants(labels[requests.label]),
        instants(known_at[requests.label]),
        dictionary(requests.symbol, symbols),
        dictionary(kind, WORDS["kind"]),
        dictionary(np.maximum(unit, 0), WORDS["unit"], null=unit == codes.CONFIGURED),
        numbers(column("side")),
        numbers(amount, null=np.isnan(amount)),
        dictionary(order_type, WORDS["type"], null=is_bare),
        numbers(limit, null=np.isnan(limit)),
        numbers(stop, null=np.isnan(stop)),
        numbers(column("rank")),
    ]
    return pa.Table.from_arrays(arrays, schema=SIGNALS)
