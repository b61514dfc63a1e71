"""The labels at which every symbol should have a bar: what quality is counted on."""

from __future__ import annotations

import numpy as np

from backtester.arrays import Bool, Int64
from backtester.data.calendar import Session
from backtester.interval import Interval


def expected_labels(session: Session, interval: Interval) -> Int64:
    """The labels of a whole session, UTC microseconds, sorted; one, the open, for daily bars.

    floor((close - open) / interval) of them, a break taken out: a last bar that the close cuts short is not expected.
    """
    if not interval.is_intraday:
        return np.array([session.open_at], dtype=np.int64)
    step = interval.us
    spans = [start + step * np.arange((end - start) // step, dtype=np.int64) for start, end in session.segments]
    return np.concatenate(spans)


def is_regular(session: Session, timestamps: Int64) -> Bool:
    """True for labels inside regular hours, the break taken out."""
    inside: Bool = np.zeros(len(timestamps), dtype=np.bool_)
    for start, end in session.segments:
        inside |= (timestamps >= start) & (timestamps < end)
    return inside
