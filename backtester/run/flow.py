"""The SESSION_FLOW of a session: what each step of the six phases did, as lines for people and rows for SQL."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from backtester.data.columns import instants, numbers, text
from backtester.schema import FLOW


class Step:
    """One step while it runs; the code inside says how many rows it handled and what there is to tell."""

    def __init__(self) -> None:
        self.rows = 0
        self.detail = ""


class Flow:
    """The steps of one session, in order."""

    def __init__(self, session: str) -> None:
        self.session = session
        self._rows: list[tuple[int, str, int, float, int, str]] = []

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Time one step; `name` is the phase and the step, such as `5.1` or `5.SUMMARY`."""
        step, started_at, begun = Step(), time.time_ns() // 1000, time.perf_counter()
        yield step
        self.add(name, started_at, time.perf_counter() - begun, step.rows, step.detail)

    def add(self, name: str, started_at: int, seconds: float, rows: int, detail: str) -> None:
        """Record a step that was timed elsewhere; started_at in UTC microseconds."""
        self._rows.append((int(name[0]), name, started_at, seconds, rows, detail))

    def lines(self) -> list[str]:
        """One line a step: when, which session, `[SESSION_FLOW] PHASE_n...`."""
        return [
            f"{datetime.fromtimestamp(started_at / 1e6, UTC):%Y-%m-%d %H:%M:%S.%f} | {self.session} | "
            f"[SESSION_FLOW] PHASE_{name}: {detail}"
            for _, name, started_at, _, _, detail in self._rows
        ]

    def table(self) -> pa.Table:
        """FLOW."""
        phases, names, started, seconds, rows, details = zip(*self._rows, strict=True)
        arrays = [
            numbers(np.array(phases, dtype=np.int32)),
            text(names),
            instants(np.array(started, dtype=np.int64)),
            numbers(np.array(seconds)),
            numbers(np.array(rows, dtype=np.int64)),
            text(details),
        ]
        return pa.Table.from_arrays(arrays, schema=FLOW)
