"""A session of a compiled strategy: its step called in the ledger's loop, its memory carried overnight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from backtester.arrays import Float64
from backtester.data.columns import dictionary, empty, numbers, text
from backtester.errors import BacktestError, StrategyError
from backtester.features.rows import Rows
from backtester.run.commit import Carry
from backtester.run.flow import Flow
from backtester.run.plan import Plan
from backtester.run.trading import ledger_of, written
from backtester.schema.carried import STRATEGY_MEMORY
from backtester.strategy import step as steps
from backtester.strategy.loading import Loaded


def step_through(
    plan: Plan, strategy: Loaded, rows: Rows, indicators: Mapping[str, Float64], carry: Carry, flow: Flow
) -> dict[str, pa.Table]:
    """Steps 5.5 and 5.6 in one: what the step asks, the ledger does at once.

    indicators  by key, one value a row
    """
    where = f"session {rows.session.date}"
    with flow.step("5.6") as told:
        stepping = steps.stepping_of(strategy, sorted(indicators))
        memory = _memory(carry, plan.symbols, stepping.memory)
        given = steps.steps_of(stepping, rows, indicators, memory)
        desk = steps.desk_of(len(plan.symbols))
        ledger = ledger_of(plan, rows, carry, loop=stepping.loop, steps=given)
        try:
            ledger.run(desk)
        except BacktestError:
            raise
        except Exception as error:
            raise steps.failure(strategy, where, error) from error
        if given.made[1]:
            raise StrategyError(
                f"strategy {strategy.use}, {where}: {given.made[1]} requests at one label; expected at most "
                f"{len(desk.label)}, {steps.ASKS_PER_SYMBOL} a symbol"
            )
        tables = written(plan, ledger, rows.session, told)
        told.detail = f"{strategy.use}: {told.detail}"
    return tables | {"strategy_memory": _memory_table(memory, plan.symbols)}


def _memory(carry: Carry, symbols: Sequence[str], size: int) -> Float64:
    """What the strategy kept of the session before; zeros for symbols that are new."""
    memory = np.zeros((len(symbols), size))
    if "strategy_memory" in carry:
        place = {symbol: code for code, symbol in enumerate(symbols)}
        table = carry["strategy_memory"]
        for symbol, kept in zip(table["symbol"].to_pylist(), table["numbers"].to_pylist(), strict=True):
            memory[place[symbol]] = kept
    return memory


def _memory_table(memory: Float64, symbols: Sequence[str]) -> pa.Table:
    count, size = memory.shape
    if not size:
        return empty(STRATEGY_MEMORY)
    offsets = pa.py_buffer(np.arange(0, count * size + 1, size, dtype=np.int32))
    kept = pa.Array.from_buffers(
        pa.list_(pa.float64()), count, [None, offsets], children=[numbers(np.ascontiguousarray(memory).reshape(-1))]
    )
    return pa.Table.from_arrays(
        [dictionary(np.arange(count, dtype=np.int32), text(symbols)), kept], schema=STRATEGY_MEMORY
    )
