"""A session of a compiled strategy: its step called in the ledger's loop, its memory carried overnight."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from backtester.arrays import Float64, Requests, frozen
from backtester.data.columns import dictionary, empty, numbers, text
from backtester.errors import BacktestError, StrategyError
from backtester.execution.simulate import Ledger
from backtester.features.rows import Rows
from backtester.kernels.state import AVERAGE, BEYOND, CASH, LEG_ROW, MADE, POSITION, SIDE_ROW
from backtester.kernels.stepping import Desk, Row, Stepper
from backtester.run.commit import Carry
from backtester.run.flow import Flow
from backtester.run.plan import Plan
from backtester.run.trading import ledger_of, written
from backtester.schema.carried import STRATEGY_MEMORY
from backtester.strategy import step as steps
from backtester.strategy.loading import Loaded

# What a step may not ask, by where Steps.made has the row that did.
REFUSED = {
    LEG_ROW: "stop_loss, take_profit or trail of an entry is not above 0, on either side; leave it out for none",
    SIDE_ROW: "the side of an entry or order is neither 1 nor -1",
}


def step_through(
    plan: Plan, strategy: Loaded, rows: Rows, indicators: Mapping[str, Float64], carry: Carry, flow: Flow
) -> dict[str, pa.Table]:
    """Steps 5.5 and 5.6 in one: what the step asks, the ledger does at once.

    indicators  by key, one value a row
    """
    where = f"session {rows.session.date}"
    with flow.step("5.6") as told:
        stepping = steps.stepping_of(strategy, sorted(indicators), is_replayed=plan.is_replayed)
        memory = _memory(carry, plan.symbols, stepping.memory)
        stepper = steps.stepper_of(stepping, rows, indicators, memory)
        try:
            if stepping.python is None:
                ledger = ledger_of(plan, rows, carry, stepper=stepper)
                ledger.run()
            else:
                ledger = ledger_of(plan, rows, carry)
                _row_by_row(ledger, stepping.python, stepper)
        except BacktestError:
            raise
        except (Exception, SystemExit) as error:  # sys.exit() would end the run without a word
            raise steps.failure(strategy, where, error) from error
        if stepper.made[BEYOND]:
            raise StrategyError(
                f"strategy {strategy.use}, {where}: {stepper.made[BEYOND]} requests at one label; expected at most "
                f"{len(stepper.requests.label)}, {steps.ASKS_PER_SYMBOL} a symbol"
            )
        for place, wrong in REFUSED.items():
            if row := int(stepper.made[place]):
                at, symbol = np.datetime64(int(rows.timestamps[row - 1]), "us"), rows.symbols[int(rows.codes[row - 1])]
                raise StrategyError(f"strategy {strategy.use}, {where}: {at} {symbol}: {wrong}")
        tables = written(plan, ledger, rows.session, told)
        told.detail = f"{strategy.use}: {told.detail}"
    return tables | {"strategy_memory": _memory_table(memory, plan.symbols)}


def _row_by_row(ledger: Ledger, step: Callable[[Row, Desk], None], stepper: Stepper) -> None:
    """What the compiled loop does with a step, in Python: the ledger may be machine code, the step is not."""
    market, clock = ledger.market, ledger.clock
    # Memoryviews, as plain kernels have them: their numbers are Python's.
    desk, columns = stepper.requests, [column.data for column in stepper.columns]
    parameters, memory, made = (each.data for each in (stepper.numbers, stepper.memory, stepper.made))
    asked: list[Any] = [column.data for column in desk]
    told: Any = Desk(made, Requests(*asked))  # type: ignore[arg-type]
    bars = (market.symbol, market.open, market.high, market.low, market.close, market.volume)
    symbols, *prices = (column.tolist() for column in bars)
    bounds = zip(clock.starts.tolist(), clock.ends.tolist(), strict=True)
    instants = zip(clock.timestamp.tolist(), clock.known_at.tolist(), strict=True)
    for t, ((start, end), (timestamp, known_at)) in enumerate(zip(bounds, instants, strict=True)):
        ledger.open_label(t)
        made[MADE] = 0
        for i in range(start, end):
            book, cash = ledger.state.book[symbols[i]].tolist(), float(ledger.state.account[CASH])
            bar = [column[i] for column in prices]
            fields: list[Any] = [i, symbols[i], timestamp, known_at, *bar, book[POSITION], book[AVERAGE], cash]
            step(Row._make([*fields, columns, parameters, memory]), told)
        ledger.close_label(t, _asked(desk, min(made[MADE], len(desk.label)), t))


def _asked(desk: Requests, count: int, label: int) -> Requests:
    """The first `count` requests of the desk as those of a label, by rank, highest first, then as made."""
    queue: list[int] = []
    for j in range(count):
        place = j
        # As the loop sorts them, which says what becomes of a rank that is NaN.
        while place > 0 and desk.rank[queue[place - 1]] < desk.rank[j]:
            place -= 1
        queue.insert(place, j)
    columns: list[Any] = [frozen(column[queue]) for column in desk._replace(label=np.full_like(desk.label, label))]
    return Requests(*columns)


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
