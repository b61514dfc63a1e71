"""Requests as columns: what a strategy asks for, checked, with every column that was not given standing for none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from backtester.arrays import REQUEST_KINDS, Requests, frozen
from backtester.errors import UsageError
from backtester.kernels.codes import CONFIGURED

_NONE: dict[str, float] = {
    "unit": CONFIGURED,
    **dict.fromkeys(("amount", "limit", "stop", "trail", "stop_loss", "take_profit", "leg_trail"), np.nan),
    "group": -1,
}
_ABSENT = {name: frozen(np.array([_NONE.get(name, 0)], dtype=dtype)) for name, dtype in REQUEST_KINDS.items()}
_EMPTY = {name: frozen(np.empty(0, dtype=REQUEST_KINDS[name])) for name in ("label", "symbol")}
NOTHING = Requests(**{**_ABSENT, **_EMPTY})
Column = npt.ArrayLike


def requests_of(label: Column, symbol: Column, kind: Column, *, is_sorted: bool = False, **columns: Column) -> Requests:
    """Requests sorted by (label, rank descending, symbol), ties as given.

    columns    by their names in arrays.Requests; a number stands for all rows, a column left out for none
    is_sorted  the rows are in that order already: they are taken as they are
    """
    unknown = sorted(set(columns) - set(REQUEST_KINDS))
    if unknown:
        raise UsageError(f"requests: no column {', '.join(unknown)}; expected some of {', '.join(REQUEST_KINDS)}")
    given = {"label": label, "symbol": symbol, "kind": kind, **columns}
    made = {name: np.atleast_1d(np.asarray(values, dtype=REQUEST_KINDS[name])) for name, values in given.items()}
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
        for name in REQUEST_KINDS
    }
    return requests_of(columns.pop("label"), columns.pop("symbol"), columns.pop("kind"), **columns)
