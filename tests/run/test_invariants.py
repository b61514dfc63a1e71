"""What the seed's author listed as true of every moment of a session holds at every moment of a replay.

The list, from the requirements the seed deleted and the columns of its timeline; the numbers are those of the comments
in invariants.py, where each is asserted at every label of every case below, and again by `verify` over the tables.

 1 time never goes back             2 and stays in the session's hours    3 a bar is known an interval after its label
 4 symbols share the clock          5 nothing is from the future          6 hours and early closes are the calendar's
 7 the date is the session's        8 the session is active               9 the active symbols stay the same
10 no symbol is ahead              11 and none behind                    12 a symbol's bars rise strictly
13 and come one by one             14 the latest is before the next      15 older ones come first
16 the next is not known yet       17 what is consumed and what is left are all there is
20 volume is never negative        21 nor falls                          22 nor moves without a bar
23 the high never falls            24 the low never rises                25 neither moves without a bar
26 low <= open, close <= high      27 counts never fall                  28 nor rise by more than one
29 nor exceed the minutes so far   30 the first bar stays                31 the last update is the latest bar's
32 at the end all are there (390)  33 at first all is nothing            34 final volume, high and low are the source's
35 the volume is the bars' sum     36 no bar is lost or told twice
37 wider bars rise strictly        38 5m = floor(1m / 5) without gaps    39 they are anchored to the open
40 and known when they are over    41 their prices are their bars'       42 so are their volumes and their number
43 quality is present / expected   44 from 0 to 100                      45 gaps are what is missing
46 minute by minute                47 the summary is the seed's: 390 iterations, 780 bars, final time = 16:00:00

Not applicable: system_state and system_mode (there is no process that starts, stops or goes live); sizes of queues,
oldest and newest of them, bars pending (bars are columns: 14 to 17 say the same of them); lag and deactivation by it,
stream errors (nothing arrives late); overall_quality, a mean over symbols the seed never used (view `quality` has it).
"""

import dataclasses
import datetime as dt
import json
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from backtester.data.run_dir import RunDir
from backtester.data.store import Store
from backtester.results.verify import verify
from backtester.run import plan as plans
from backtester.run import pool
from tests.run import invariants
from tests.run.equity_sets import CASES, real, stores  # noqa: F401  # the fixture

NEW_YORK = ZoneInfo("America/New_York")
HALF_DAYS = ("2015-12-24", "2024-07-03")
# What the corrected dumps hold at the end of these minutes, added up outside of this program.
AT = {
    "AAPL": {"09:34": (3_321_422.0, 210.004, 208.14), "10:29": (23_165_619.0, 213.34, 208.14),
             "11:59": (34_391_914.0, 213.34, 208.14), "12:59": (40_424_707.0, 213.34, 208.14),
             "15:29": (53_296_473.0, 213.34, 208.14), "15:59": (59_584_161.0, 213.34, 208.14)},
    "RIVN": {"09:34": (1_926_883.0, 13.33, 13.13), "10:29": (13_105_627.0, 13.33, 12.87),
             "15:59": (38_355_350.0, 13.33, 12.83)},
}  # fmt: skip
SUMMARY = "PHASE_5.SUMMARY: 390 iterations, 780 bars, final time = 16:00:00"
# The seed's session, gaps with a half day and an auction after it, and extended hours; all others when there is time.
SOON = ("seed", "gaps and a half day", "ibkr")


def instant(day, clock):
    return int(
        dt.datetime.combine(dt.date.fromisoformat(day), dt.time.fromisoformat(clock), NEW_YORK).timestamp() * 1e6
    )


def in_minutes(frame):
    """The bars of one minute that these make, themselves if they are such."""
    minute = pl.col("timestamp") // invariants.MINUTE * invariants.MINUTE
    prices = (pl.col("open").first(), pl.col("high").max(), pl.col("low").min(), pl.col("close").last())
    return frame.sort("timestamp").group_by("symbol", minute).agg(*prices, pl.col("volume").sum())


def expect(store, case):
    """Count the case's bars anew, from the files: those of its hours."""
    interval = "1s" if case.store == "lean_seconds" else "1m"
    files = store / f"bars/exchange=XNYS/interval={interval}"
    for held in (invariants.SOURCE, invariants.HOURS, invariants.RECORDED):
        held.clear()
    invariants.LOOKED.update(dict.fromkeys(invariants.LOOKED, 0))
    days = sorted(path.name.removeprefix("session=") for path in files.glob("session=*"))
    listed = set()
    for day in [day for day in days if day <= case.end]:
        hours = instant(day, "09:30"), instant(day, "13:00" if day in HALF_DAYS else "16:00"), day in HALF_DAYS
        frame = pl.read_parquet(files / f"session={day}/*.parquet").with_columns(
            pl.col("timestamp").cast(pl.Int64), pl.col("symbol").cast(pl.String)
        )
        if case.hours == "regular":
            frame = frame.filter((pl.col("timestamp") >= hours[0]) & (pl.col("timestamp") < hours[1]))
        # A symbol that is no longer there has no bars, and is one of the session's all the same.
        listed |= set(frame["symbol"])
        if day < case.start:
            continue
        symbols = listed if case.symbols == "*" else case.symbols
        by = (
            in_minutes(frame)
            .select("symbol", "timestamp", "open", "high", "low", "close", "volume")
            .rows_by_key("symbol")
        )
        invariants.HOURS[day] = hours
        invariants.SOURCE[day] = {symbol: sorted(by.get(symbol, [])) for symbol in symbols}
    return sum(len(rows) for day in invariants.SOURCE.values() for rows in day.values())


def planned(tmp_path, store, case, use, **more):
    run = {"name": "seed", "exchange": "XNYS", **case._asdict(), "derived": ["5m", "15m"], **more}
    run.pop("store")
    (tmp_path / "c.json").write_text(json.dumps({"run": run, "strategy": {"use": use}}))
    return plans.from_file(tmp_path / "c.json", Store(store))


@real
@pytest.mark.parametrize(
    "name", [case if case in SOON else pytest.param(case, marks=pytest.mark.soak) for case in CASES]
)
def test_every_moment_of_a_replay_keeps_the_seeds_invariants(tmp_path, stores, name):  # noqa: F811
    case = CASES[name]
    bars = expect(stores(case.store), case)
    if name == "seed":
        invariants.RECORDED.update(
            {(s, instant("2025-07-02", at)): known for s, moments in AT.items() for at, known in moments.items()}
        )

    plan = planned(tmp_path, stores(case.store), case, "tests.run.invariants:Invariants", tables=["running"])
    outcome = pool.run_plan(plan, tmp_path / "out")

    assert invariants.LOOKED["bars"] == bars > 0
    assert invariants.LOOKED["labels"] >= 150
    assert invariants.LOOKED["derived"] > 0
    assert [check.name for check in verify(RunDir(outcome.run_dir)).checks if check.violations] == []


@real
@pytest.mark.parametrize("use", ["samples:VwapReversion", "step_samples:VwapReversion"])
def test_the_seeds_session_has_its_summary_in_both_modes(tmp_path, stores, use):  # noqa: F811
    plan = planned(tmp_path, stores("seed"), CASES["seed"], f"backtester.strategy.{use}")
    for is_replayed in (False, True):
        way = dataclasses.replace(plan, is_replayed=is_replayed)
        run = pool.run_plan(way, tmp_path / f"{is_replayed}").run_dir
        lines = (run / "log/session_flow.log").read_text().splitlines()
        assert [line.partition("[SESSION_FLOW] ")[2] for line in lines if "PHASE_5.SUMMARY" in line] == [SUMMARY]
