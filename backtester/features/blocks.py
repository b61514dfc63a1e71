"""Arrays over memory that is used again as soon as nothing looks at it.

A session's indicators are tens of columns that live for one session. Fresh pages for them cost more than computing
them, and Arrow's pool gives pages back within 10 ms of their being freed: 500 symbols x 37 columns took 190 ns a row in
page faults, 150 in kernels (bench/bench_indicators.py). A block is free when no array or buffer over it is alive, so it
is never taken from under a result that somebody kept.
"""

from __future__ import annotations

import sys
import threading

import numpy as np

from backtester.arrays import Float64, Int64

_blocks: list[Float64] = []
_lock = threading.Lock()
# Of a block in the list alone: the list, the loop's name, and the argument of getrefcount.
_UNUSED = 3


def floats(*shape: int) -> Float64:
    """An uninitialised array of numbers."""
    size = int(np.prod(shape))
    with _lock:
        for block in _blocks:
            if size <= len(block) <= 2 * size + 4096 and sys.getrefcount(block) == _UNUSED:
                return block[:size].reshape(shape)
        fresh = np.empty(size + size // 16)
        # What nobody uses and was too small or too large to be used again goes before more is asked for.
        _blocks[:] = [block for block in _blocks if sys.getrefcount(block) > _UNUSED]
        _blocks.append(fresh)
        return fresh[:size].reshape(shape)


def integers(*shape: int) -> Int64:
    """An uninitialised array of whole numbers."""
    view: Int64 = floats(*shape).view(np.int64)
    return view
