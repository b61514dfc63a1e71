"""What stands between a session's ledger and its commit, and keeps of each session what the metrics need."""

from __future__ import annotations

from datetime import date

import pyarrow as pa

from backtester.data.calendar import Session
from backtester.data.run_dir import RunDir
from backtester.errors import VerificationError
from backtester.results.collected import Collected
from backtester.results.session_checks import Before, Terms, before_of, session_faults
from backtester.run.commit import Completed, committed_tables
from backtester.run.measuring import measure
from backtester.run.plan import Plan


class Guard:
    """Holds each session of a run with a strategy, in order, against the account the one before it left."""

    def __init__(self, plan: Plan, run_dir: RunDir, todo: list[Session]) -> None:
        """`todo`: the sessions to come; the one before the first of them is read from the run."""
        self._plan, self._run_dir = plan, run_dir
        self._collected = Collected(benchmark=plan.config.metrics.benchmark)
        self._sessions = {session.date: session for session in todo}
        capital = plan.config.execution.capital
        self._before = Before(capital, capital, {})
        first = plan.sessions.index(todo[0]) if todo else 0
        if first:
            names = ("session_equity", "positions")
            self._before = before_of(committed_tables(run_dir, plan.sessions[first - 1].date.isoformat(), names))

    def admit(self, completed: Completed) -> None:
        """VerificationError, naming what is wrong, unless the session's tables agree with one another."""
        name = completed.flow.session
        session = self._sessions[date.fromisoformat(name)]
        config = self._plan.config
        terms = Terms(config.execution, config.limits, session.open_at, session.close_at)
        tables: dict[str, pa.Table] = completed.tables
        faults = session_faults(tables, self._before, terms)
        if faults:
            raise VerificationError(
                f"{name}: the ledger's tables contradict themselves, so the session is not committed; this is a bug of "
                f"ours, report it with the config: {'; '.join(faults)}"
            )
        self._before = before_of(tables)
        self._collected.add(name, tables)

    def run_tables(self) -> dict[str, pa.Table]:
        """The tables of the whole run, once every session is committed."""
        return {"metrics": measure(self._plan, self._run_dir, self._collected)}
