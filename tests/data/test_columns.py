"""Columns without pandas: nulls as NaN, and tables without a row."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from backtester.data.columns import empty, floats_of, values_of
from backtester.schema import SESSION_TABLES


def test_nulls_are_nan_and_slices_keep_their_place():
    values = pa.chunked_array([[1.0, None, 3.0], [], [None], [5.0, 6.0]])

    np.testing.assert_array_equal(floats_of(values), [1.0, np.nan, 3.0, np.nan, 5.0, 6.0])
    np.testing.assert_array_equal(floats_of(values.slice(1, 3)), [np.nan, 3.0, np.nan])
    np.testing.assert_array_equal(floats_of(pa.chunked_array([], pa.float64())), [])
    np.testing.assert_array_equal(floats_of(pa.chunked_array([pa.array([None] * 20, pa.float64()).slice(9)])),
                                  [np.nan] * 11)  # fmt: skip


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1, None, 3], pa.int8(), [1.0, np.nan, 3.0]),
        ([1, 2, 3], pa.int32(), [1, 2, 3]),
        ([True, None, False], pa.bool_(), [True, False, False]),
        ([True, False, True] * 7, pa.bool_(), [True, False, True] * 7),
        ([5, None], pa.timestamp("us", "UTC"), [5.0, np.nan]),
        ([5, 6], pa.date32(), [5, 6]),
        ([None, None], pa.float64(), [np.nan, np.nan]),
        ([], pa.int64(), []),
    ],
)
def test_values_are_what_the_column_holds(values, kind, expected):
    array = pa.array(values, kind)

    np.testing.assert_array_equal(values_of(array), expected)
    np.testing.assert_array_equal(values_of(array[1:]), expected[1:])


@pytest.mark.parametrize("name", SESSION_TABLES)
def test_a_table_without_a_row_has_every_column(name):
    table = empty(SESSION_TABLES[name])

    table.validate(full=True)
    assert table.schema == SESSION_TABLES[name]
    assert table.num_rows == 0


def test_neither_imports_pandas():
    code = (
        "import sys, pyarrow as pa, numpy as np\n"
        "from backtester.data.columns import empty, floats_of, numbers\n"
        "from backtester.schema import SESSION_TABLES\n"
        "for schema in SESSION_TABLES.values(): empty(schema)\n"
        "nulls = numbers(np.ones(3), null=np.array([True, False, True]))\n"
        "floats_of(pa.chunked_array([nulls]))\n"
        "assert 'pandas' not in sys.modules\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
