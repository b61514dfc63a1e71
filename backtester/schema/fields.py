"""The dtypes every schema is made of, and a field that holds no null."""

from __future__ import annotations

import pyarrow as pa

INSTANT = pa.timestamp("us", tz="UTC")
SYMBOL = pa.dictionary(pa.int32(), pa.string())  # of symbols, and of every column that holds few different words


def required(name: str, dtype: pa.DataType) -> pa.Field:
    """A column that is never null."""
    return pa.field(name, dtype, nullable=False)
