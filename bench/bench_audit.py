"""The proofs' price: a run with and without attested sessions, and audits of the sample strategies."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path

from backtester.data.store import Store
from backtester.kernels import jit
from backtester.run import plan as plans
from backtester.run import pool
from backtester.run.attest import Attestor
from backtester.run.audit import run_audit
from backtester.run.plan import Plan
from bench.data import build

SAMPLES = ("SmaCross", "OpeningRange", "VwapReversion", "Rsi", "Momentum", "CrossSectionalRank")
ATTESTED = ("samples:SmaCross", "samples:VwapReversion", "step_samples:SmaCross")


def main(root: Path, *, quick: bool) -> None:
    """Print what `--attest 2` adds to a run's CPU time, and the seconds of an audit."""
    jit.compiled()
    symbols, sessions = (50, 6) if quick else (500, 42)
    print(f"proofs: --attest 2 on {symbols} symbols x {sessions} sessions, CPU seconds, least of 3 in turn")
    for use in ATTESTED:
        plan = _plan(root, f"backtester.strategy.{use}", symbols, sessions)
        # In turn, so that a machine that slows down slows both.
        pairs = [(_run(root, plan, attest=0), _run(root, plan, attest=2)) for _ in range(3)]
        alone, attested = (min(seconds) for seconds in zip(*pairs, strict=True))
        print(f"  {use:24} {alone:6.2f} and {attested:6.2f} attested: {attested / alone - 1:+.1%} (bar +10 %)")
    symbols, sessions = (5, 2) if quick else (25, 20)
    print(f"audit of every session of {symbols} symbols x {sessions}, every 13th bar; seconds wall / CPU (bar 60)")
    for use in SAMPLES:
        plan = _plan(root, f"backtester.strategy.samples:{use}", symbols, sessions)
        wall, cpu = time.perf_counter(), time.process_time()
        found = run_audit(plan, sessions=sessions)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        assert not found.violations, found
        print(f"  {use:24} {wall:6.1f} / {cpu:.1f}, {found.checks:,} changed futures")


def _plan(root: Path, use: str, symbols: int, sessions: int) -> Plan:
    entries = build(root, symbols=symbols, sessions=sessions)
    first, last = (entry.session.isoformat() for entry in (entries[0], entries[-1]))
    run = {"name": "proofs", "exchange": "XNYS", "start": first, "end": last, "symbols": "*"}
    sections = {"execution": {"size_amount": 0.02}, "limits": {"flat_by": "close-5m"}}
    path = root / f"{use.replace(':', '-')}-{symbols}x{sessions}.json"
    path.write_text(json.dumps({"run": run, "strategy": {"use": use}, **sections}))
    return plans.from_file(path, Store(entries[0].folder.parents[3]))


def _run(root: Path, plan: Plan, *, attest: int) -> float:
    """CPU seconds of a whole run."""
    out = Path(tempfile.mkdtemp(dir=root))
    begun = time.process_time()
    outcome = pool.run_plan(plan, out, attestor=Attestor(plan, attest) if attest else None)
    seconds = time.process_time() - begun
    found = outcome.attestation or {"checks": 0, "violations": []}
    assert (found["checks"], found["violations"]) == (attest, []), found
    shutil.rmtree(out)
    return seconds
