"""The metrics of a run as one table: every formula of the registry, its value, or the reason why it has none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from backtester.arrays import Float64
from backtester.data.columns import instants, numbers, text
from backtester.errors import UsageError
from backtester.results.facts import Facts, Metric, Moment, Terms
from backtester.results.formulas import DEFAULTS
from backtester.results.returns import UndefinedError
from backtester.results.variants import VARIANTS
from backtester.schema import METRICS

REGISTRY = {metric.id: metric for metric in (*DEFAULTS, *VARIANTS)}


def compute(
    tables: Mapping[str, pa.Table],
    terms: Terms,
    *,
    benchmark: Float64 | None = None,
    ids: Iterable[str] | None = None,
) -> pa.Table:
    """The METRICS table of a run: one row per metric, in the registry's order.

    tables     equity, session_equity, fills, trades, each over the whole run and in time order
    benchmark  one return per session; NaN where the benchmark has none, and alpha and beta leave that session out
    ids        the metrics wanted, `sharpe` or `sharpe@lean`; all when None
    """
    chosen = list(REGISTRY) if ids is None else list(ids)
    unknown = [name for name in chosen if name not in REGISTRY]
    if unknown:
        raise UsageError(f"metrics: no metric {', '.join(unknown)}; known are {', '.join(REGISTRY)}")
    facts = Facts(terms, tables, benchmark)
    wanted = set(chosen)
    rows = [_row(metric, facts) for name, metric in REGISTRY.items() if name in wanted]
    columns = {name: [row[name] for row in rows] for name in METRICS.names}
    texts = {name: text(columns[name]) for name in ("id", "metric", "variant", "unit", "formula", "note")}
    values = np.array(columns["value"], dtype=np.float64)
    no_moment = np.array([moment is None for moment in columns["moment"]], dtype=np.bool_)
    moments = np.array([moment or 0 for moment in columns["moment"]], dtype=np.int64)
    arrays = texts | {"value": numbers(values, null=np.isnan(values)), "moment": instants(moments, null=no_moment)}
    return pa.Table.from_arrays([arrays[name] for name in METRICS.names], schema=METRICS)


def _row(metric: Metric, facts: Facts) -> dict[str, Any]:
    """A metric's row: a value, or an instant, or a note that says why there is neither."""
    name, _, variant = metric.id.partition("@")
    row: dict[str, Any] = {"id": metric.id, "metric": name, "variant": variant}
    row |= {"unit": metric.unit, "formula": metric.formula, "value": None, "moment": None, "note": None}
    try:
        # Numbers no account holds may overflow on the way; whatever comes of it is looked at below.
        with np.errstate(all="ignore"):
            found = metric.compute(facts)
    except UndefinedError as reason:
        return row | {"note": str(reason)}
    except ArithmeticError as error:
        return row | {"note": f"a step of the formula is beyond the largest or smallest number ({error})"}
    if isinstance(found, Moment):
        return row | {"moment": found.us}
    if not math.isfinite(found):
        return row | {"note": f"the formula gives {found} on these numbers"}
    return row | {"value": float(found) + 0.0}  # adding 0 makes -0 a 0
