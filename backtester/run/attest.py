"""A run's own look for look-ahead: a few sessions computed again with another future, against what was committed."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from backtester.data.durable import canonical_json, sha256
from backtester.data.run_dir import RunDir
from backtester.errors import UsageError
from backtester.run.audit import MOMENTS, At, first_carry, moments, pipeline
from backtester.run.commit import committed_carry
from backtester.run.loading import Loader
from backtester.run.plan import Plan
from backtester.strategy import audit

# In turn, one a session: each costs about as much as the session did.
POISONS = (audit.RANDOM, audit.TRUNCATED)


def attest(plan: Plan, run_dir: RunDir, sessions: int) -> dict[str, Any]:
    """What the manifest keeps: sessions, checks, violations in words, and the SHA-256 of these.

    At one instant of each session, chosen by the run's name, all that comes later is drawn at random, in every second
    session cut off; what the committed tables say up to that instant must come out again, bit for bit.
    """
    if plan.strategy is not None and plan.strategy.kind == "event":
        raise UsageError("--attest cannot know what an event strategy remembered; use `backtester audit`")
    count = min(sessions, len(plan.sessions))
    chosen = sorted({round(k) for k in np.linspace(0, len(plan.sessions) - 1, count + 2)[1:-1]})
    loader, checks, violations = Loader(plan), 0, []
    for place, number in enumerate(chosen):
        session = plan.sessions[number]
        day = session.date.isoformat()
        before = plan.sessions[number - 1].date.isoformat() if number else None
        carry = committed_carry(run_dir, before) if before and plan.is_chained else first_carry(plan)
        kept = None if plan.strategy is None else plan.strategy.strategy
        compute, inputs, _, known = pipeline(plan, At(loader.load(session), carry, kept))
        instants = audit.instants_of(known)
        lot = int(hashlib.sha256(f"{plan.run_id} {day}".encode()).hexdigest(), 16)
        cuts = [instants[lot % len(instants)]] if instants else []
        report = audit.look_ahead(
            compute, inputs, cuts=cuts, poisons=[POISONS[place % 2]], honest=_committed(run_dir, day)
        )
        checks += report.checks
        violations += [f"{day}: {leak.output}.{leak.column} {leak.symbol} at {leak.timestamp}" for leak in report.leaks]
    found = {"sessions": [plan.sessions[k].date.isoformat() for k in chosen], "checks": checks}
    found |= {"violations": violations}
    return found | {"sha256": sha256(canonical_json(found))}


def _committed(run_dir: RunDir, day: str) -> dict[str, pl.DataFrame]:
    """The session's committed tables that tell of moments."""
    held = run_dir.record(day)["tables"]
    paths = {name: run_dir.table_path(name, day) for name in MOMENTS if name in held}
    return moments({name: pq.read_table(path, partitioning=None) for name, path in paths.items()})
