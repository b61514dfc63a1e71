"""Arrays over memory that is used again as soon as nothing looks at it.

A session's indicators are tens of columns that live for one session. Fresh pages for them cost more than computing
them, and Arrow's pool gives pages back within 10 ms of their being freed: 500 symbols x 37 columns took 190 ns a row in
page faults, 150 in kernels (bench/bench_indicators.py). A block is free when no array or buffer over it is alive, so it
is never taken from under a result that somebody kept.
"""

from __future__ import annotations

import math
import sys
import threading

import numpy as np

from backtester.arrays import Float64, Int64

_blocks: list[Float64] = [np.empty(0)]
_lock = threading.Lock()


def _references(k: int) -> int:
    return sys.getrefcount(_blocks[k])


# What a block in the list alone counts; which temporary references are counted differs between versions of Python.
_UNUSED = _references(0)


def floats(*shape: int) -> Float64:
    """An uninitialised array of numbers."""
    size = math.prod(shape)
    with _lock:
        for k in range(len(_blocks)):
            if size <= len(_blocks[k]) <= 2 * size + 4096 and _references(k) == _UNUSED:
                return _blocks[k][:size].reshape(shape)
        # What nobody uses and was too small or too large to be used again goes before more is asked for.
        for k in reversed(range(len(_blocks))):
            if _references(k) == _UNUSED:
                del _blocks[k]
        _blocks.append(np.empty(size + size // 16))
        return _blocks[-1][:size].reshape(shape)


def integers(*shape: int) -> Int64:
    """An uninitialised array of whole numbers."""
    view: Int64 = floats(*shape).view(np.int64)
    return view
