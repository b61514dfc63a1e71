"""A run's own look for look-ahead: a few of its sessions computed again with another future, as they are computed."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa

from backtester.data.calendar import Session
from backtester.data.durable import canonical_json, sha256
from backtester.data.run_dir import RunDir
from backtester.errors import StrategyError
from backtester.run.commit import Carry, committed_carry, committed_tables
from backtester.run.levels import MOMENTS, At, copied, first_carry, moments, pipeline
from backtester.run.loading import Loaded, Loader
from backtester.run.plan import Plan
from backtester.strategy import audit
from backtester.strategy.futures import RANDOM, TRUNCATED

# In turn, one a session: each costs about as much as the session did.
POISONS = (RANDOM, TRUNCATED)


class Attestor:
    """Looks at a few sessions of a run, evenly spread.

    At one instant of each, chosen by the run's name, all that comes later is drawn at random, in every second session
    cut off; what the run's own tables say up to that instant must come out again, bit for bit.
    """

    def __init__(self, plan: Plan, sessions: int) -> None:
        self._plan = plan
        count = min(sessions, len(plan.sessions))
        chosen = sorted({round(k) for k in np.linspace(0, len(plan.sessions) - 1, count + 2)[1:-1]})
        self._chosen = [plan.sessions[k] for k in chosen]
        self._kept: dict[Session, Plan] = {}
        self._checks = 0
        self._violations: dict[Session, list[str]] = {}
        self._skipped: dict[Session, str] = {}

    def before(self, session: Session) -> None:
        """The session is computed next: keep the strategy as it is."""
        if session in self._chosen:
            try:
                self._kept[session] = copied(self._plan)
            except StrategyError as error:
                self._skipped[session] = str(error)

    def after(self, loaded: Loaded, carry: Carry, tables: dict[str, pa.Table]) -> None:
        """The session is computed: look at it, unless it is none of the chosen."""
        kept = self._kept.pop(loaded.session, None)
        if kept is not None:
            self._look(At(kept, loaded, carry), tables)

    def report(self, run_dir: RunDir) -> dict[str, Any]:
        """What the manifest keeps: sessions, checks, violations and what was skipped in words, and their SHA-256.

        Sessions that an earlier, interrupted run committed are looked at as its files have them.
        """
        for session in self._chosen:
            if session not in self._violations and session not in self._skipped:
                self._look_back(session, run_dir)
        found: dict[str, Any] = {
            "sessions": [session.date.isoformat() for session in self._chosen if session in self._violations],
            "checks": self._checks,
            "violations": [text for session in self._chosen for text in self._violations.get(session, [])],
            "skipped": {session.date.isoformat(): why for session, why in sorted(self._skipped.items())},
        }
        return found | {"sha256": sha256(canonical_json(found))}

    def _look_back(self, session: Session, run_dir: RunDir) -> None:
        plan, number = self._plan, self._plan.sessions.index(session)
        if plan.strategy is not None and plan.strategy.kind == "event":
            self._skipped[session] = "an earlier run committed it, and what the strategy remembered then is in no table"
            return
        before = plan.sessions[number - 1].date.isoformat() if number else None
        carry = committed_carry(run_dir, before) if before and plan.is_chained else first_carry(plan)
        tables = committed_tables(run_dir, session.date.isoformat(), MOMENTS)
        try:
            self._look(At(copied(plan), Loader(plan).load(session), carry), tables)
        except StrategyError as error:
            self._skipped[session] = str(error)

    def _look(self, at: At, tables: dict[str, pa.Table]) -> None:
        day = at.loaded.session.date.isoformat()
        place = self._chosen.index(at.loaded.session)
        level = pipeline(at, (POISONS[place % 2],))
        instants = audit.instants_of(level.inputs)
        lot = int(hashlib.sha256(f"{self._plan.run_id} {day}".encode()).hexdigest(), 16)
        cuts = [instants[lot % len(instants)]] if instants else []
        report = audit.look_ahead(
            level.compute, level.inputs, cuts=cuts, poisons=level.poisons, honest=moments(tables), seed=lot % 2**32
        )
        self._checks += report.checks
        if report.failures:
            self._skipped[at.loaded.session] = f"failed on the changed session: {_failed(report.failures[0])}"
        else:
            self._violations[at.loaded.session] = [f"{day}: {_told(leak)}" for leak in report.leaks]


def _failed(failure: audit.Failure) -> str:
    return f"{failure.where}: {failure.words}"


def _told(leak: audit.Leak) -> str:
    at = np.datetime64(leak.timestamp, "us")
    return f"{leak.output}.{leak.column}{f' of {leak.symbol}' if leak.symbol else ''} at {at}Z changed with its future"
