"""Blocks of memory are used again when nothing looks at them, and not before."""

import numpy as np
import pyarrow as pa

from backtester.features import blocks


def test_a_block_is_not_taken_from_under_a_view_or_an_arrow_buffer():
    first = blocks.floats(3, 100)
    first[:] = 1.0
    view, buffer = first[1, 5:], pa.py_buffer(first)
    del first

    others = [blocks.floats(300) for _ in range(5)]
    for other in others:
        other[:] = 2.0

    assert (view == 1.0).all()
    assert (np.frombuffer(buffer) == 1.0).all()
    assert len({other.ctypes.data for other in others}) == 5


def test_a_block_nobody_looks_at_is_used_again():
    first = blocks.floats(12_345)
    at = first.ctypes.data
    del first

    again = blocks.integers(12_345)

    assert again.ctypes.data == at
    assert again.dtype == np.int64
