"""Requests as columns: what a strategy asks for, checked, with every column that was not given standing for none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from backtester.arrays import Requests, frozen
from backtester.errors import UsageError
from backtester.kernels.codes import CONFIGURED

_DTYPES: dict[str, Any] = {
    "label": np.int32,
    "symbol": np.int32,
    "kind": np.int8,
    "unit": np.int8,
    "amount": np.float64,
    "side": np.int8,
    "order_type": np.int8,
    "tif": np.int8,
    "limit": np.float64,
    "stop": np.float64,
    "trail": np.float64,
    "stop_loss": np.float64,
    "take_profit": np.float64,
    "leg_trail": np.float64,
    "fractions": np.uint8,
    "exit_after_bars": np.int32,
    "until": np.int64,
    "group": np.int32,
    "rank": np.float64,
}
_NONE: dict[str, float] = {
    "unit": CONFIGURED,
    **dict.fromkeys(("amount", "limit", "stop", "trail", "stop_loss", "take_profit", "leg_trail"), np.nan),
    "group": -1,
}
_ABSENT = {name: frozen(np.array([_NONE.get(name, 0)], dtype=dtype)) for name, dtype in _DTYPES.items()}
_EMPTY = {name: frozen(np.empty(0, dtype=_DTYPES[name])) for name in ("label", "symbol")}
NOTHING = Requests(**{**_ABSENT, **_EMPTY})
Column = npt.ArrayLike


def requests_of(label: Column, symbol: Column, kind: Column, *, is_sorted: bool = False, **columns: Column) -> Requests:
    """Requests sorted by (label, rank descending, symbol), ties as given.

    columns    by their names in arrays.Requests; a number stands for all rows, a column left out for none
    is_sorted  the rows are in that order already: they are taken as they are
    """
    unknown = sorted(set(columns) - set(_DTYPES))
    if unknown:
        raise UsageError(f"requests: no column {', '.join(unknown)}; expected some of {', '.join(_DTYPES)}")
    given = {"label": label, "symbol": symbol, "kind": kind, **columns}
    made = {name: np.atleast_1d(np.asarray(values, dtype=_DTYPES[name])) for name, values in given.items()}
    rows = len(made["label"])
    for name, values in made.items():
        if len(values) != rows and (len(values) != 1 or name in _EMPTY):
            raise UsageError(f"requests: {name} has {len(values)} values for {rows} requests; give one each, or one")
    if not is_sorted and rows > 1:
        rank = made.get("rank", _ABSENT["rank"])
        order = np.lexsort((made["symbol"], -np.broadcast_to(rank, rows), made["label"]))
        made = {name: values[order] if len(values) == rows else values for name, values in made.items()}
    return Requests(**{**_ABSENT, **{name: frozen(values) for name, values in made.items()}})


def joined(parts: Sequence[Requests]) -> Requests:
    """Requests of several makers as one, sorted; columns that stand for all rows are written out."""
    if not parts:
        return NOTHING
    columns: dict[str, Any] = {
        name: np.concatenate([np.broadcast_to(getattr(part, name), len(part.label)) for part in parts])
        for name in _DTYPES
    }
    return requests_of(columns.pop("label"), columns.pop("symbol"), columns.pop("kind"), **columns)
