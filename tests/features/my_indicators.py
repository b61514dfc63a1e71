"""A user's module of indicators, as docs/indicators.md describes it."""

import polars as pl

from backtester.features.catalog import Parameter
from backtester.features.foreign import Custom
from backtester.kernels.jit import kernel

spread = pl.col("high") - pl.col("low")
swing = Custom(3, {"top": pl.col("high").rolling_max(4), "bottom": pl.col("low").rolling_min(4)})
not_one = 5
misspelt = pl.col("clsoe") * 2.0
words = pl.lit("dear")
shorter = pl.col("close").head(2)
spaced = Custom(0, {"a b": pl.col("close")})


@kernel
def above(spans, columns, params, state, scratch, out):
    """How many bars in a row closed above the open, times a factor."""
    for s in range(len(spans.first)):
        count = state[s, 0]
        for i in range(spans.begin[s], spans.end[s]):
            count = count + 1.0 if columns.bars.close[i] > columns.bars.open[i] else 0.0
            out[0, i] = count * params[4]
        state[s, 0] = count


streak = Custom(0, kernel=above, state=1, parameters=(Parameter("factor", 1.0, "a factor", low=0.0, high=9.0),))
