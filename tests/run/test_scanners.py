"""Runs with scanners: what they select, when, from what, and that nothing else is entered."""

import dataclasses
import datetime as dt
import hashlib
import json

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from backtester.data import sample
from backtester.data.run_dir import RunDir
from backtester.data.store import Store
from backtester.errors import ConfigError, StrategyError
from backtester.features.rows import rows_of
from backtester.interval import Interval
from backtester.results.verify import verify
from backtester.run import plan as plans
from backtester.run import pool
from backtester.run.loading import Loader
from backtester.run.session import columns_of, prepare, scan

OWN = '''
import polars as pl


class Always:
    """Buys and sells in turn, every ten minutes."""

    def signals(self, bars, indicators):
        turn = pl.col("running_bars") % 20
        return bars.select(enter=turn == 5, exit=turn == 15)


class Told:
    """The same of what is selected, told bar by bar."""

    def on_bar(self, bar, data, desk):
        turn = data.get_symbol_data(bar.symbol).count() % 20
        assert data.selected() == sorted(data.selected())
        if turn == 5:
            desk.enter(bar.symbol, 1)
        if turn == 15:
            desk.exit_(bar.symbol)


class Stepped:
    """The same as a step."""

    memory = 0

    def step(self, row, desk):
        if row.running_bars % 20.0 == 5.0:
            enter(row, desk, 1)
        if row.running_bars % 20.0 == 15.0:
            leave(row, desk)


class Risen:
    """What is above its session's VWAP, and by how much."""

    def __init__(self, by: float = 0.0):
        self.by = by

    def select(self, now):
        move = now["close"] / now["running_vwap"] - 1.0
        return pl.DataFrame({"selected": move > self.by, "move": move})


class Named:
    """The symbols in its list."""

    def __init__(self, symbol: str = "SIM001"):
        self.symbol = symbol

    def select(self, now):
        return now["symbol"].cast(pl.String) == self.symbol


class Kept:
    """Counts how often it was asked, in itself; selects at its second time."""

    def __init__(self):
        self.asked = 0
        self.seen = []

    def select(self, now):
        self.asked += 1
        self.seen.append(now["now"][0])
        told = f"{self.asked} {len(self.seen)}"
        return now.select("symbol", selected=pl.lit(self.asked == 2), asked=pl.lit(told)).drop("symbol")


class Held:
    """Cannot be copied."""

    def __init__(self):
        import threading

        self.lock = threading.Lock()

    def select(self, now):
        return now["close"] > 0


class Wide:
    """Tells what it sees of a wider interval."""

    def indicators(self):
        latest = {"name": "sma", "period": 1}
        return [{**latest, "interval": "5m", "key": "wide"}, {**latest, "key": "own"}]

    def select(self, now):
        return now.select(selected=pl.col("symbol").cast(pl.String) == "SIM002", wide="wide", own="own")


class Elsewhere:
    """Enters one symbol at the bars of another, whether it has a bar then or not."""

    def on_bar(self, bar, data, desk):
        if bar.symbol == "SIM001":
            desk.place("SIM002", 1, units=1.0)


class Broken:
    def select(self, now):
        return now["close"]


class Short:
    def select(self, now):
        return now["close"].head(1) > 0


class Sorted:
    def select(self, now):
        return now.sort("symbol", descending=True).select("symbol", selected=pl.col("close") > 0)


class Leaving:
    def select(self, now):
        raise SystemExit(0)


class Failing:
    def select(self, now):
        return now["clsoe"] > 0
'''.replace("import polars as pl\n", "import polars as pl\nfrom backtester.strategy.step import enter, leave\n", 1)
RISEN = {"use": "own:Risen", "at": ["open", "open+30m", "13:30"], "keep": False}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("scanned")
    simulated = sample.Sample(
        exchange="XNYS",
        interval=Interval.parse("1m"),
        start=dt.date(2024, 11, 25),
        end=dt.date(2024, 12, 2),
        symbols=4,
        seed=7,
    )
    sample.write(simulated, Store(root / "store"), tell=lambda _: None)
    (root / "own.py").write_text(OWN)
    return root


def planned(root, *scanners, use="own:Always", symbols="*", name="config", **sections):
    run = {"name": "scanned", "exchange": "XNYS", "start": "2024-11-27", "end": "2024-12-02", "symbols": symbols}
    settings = {"run": run, "strategy": {"use": use}, "scanners": list(scanners), **sections}
    path = root / f"{name}.json"
    path.write_text(json.dumps(settings))
    return plans.from_file(path, Store(root / "store"))


def ran(plan, out, **options):
    return RunDir(pool.run_plan(plan, out, **options).run_dir)


def table(run, name):
    rows = []
    for session in run.sessions():
        path = run.table_path(name, session)
        if path.is_file():
            rows += [{"session": session, **row} for row in pq.ParquetFile(path).read().to_pylist()]
    return rows


def tree(run, *names):
    files = sorted(path for path in (run.root / "tables").rglob("*.parquet"))
    return {
        str(path.relative_to(run.root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if not names or path.parent.parent.name in names
    }


def instant(text):
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def selected_by(changes, symbol, moment):
    """Whether a symbol is selected at a moment, replayed from the table; one scanner."""
    is_selected = False
    for row in changes:
        if row["symbol"] == symbol and row["session"] == str(moment.date()) and row["known_at"] <= moment:
            is_selected = row["action"] == "selected"
    return is_selected


def session_of(plan, place=0, change=None):
    """The rows of a session after its scans, and its selections; `change` alters the bars as loaded."""
    loaded = Loader(plan).load(plan.sessions[place])
    if change is not None:
        loaded = dataclasses.replace(loaded, bars=change(loaded.bars))
    prepared = prepare(plan, loaded)
    rows = rows_of(prepared.done, plan.sessions[place], plan.derived, plan.config.interval)
    return scan(plan, prepared, prepared.indicated, rows, columns_of(plan, prepared, prepared.indicated, rows))


def test_selections_are_what_the_bars_known_by_then_say(root, tmp_path):
    changes = table(ran(planned(root, RISEN), tmp_path), "selections")
    bars = pl.read_parquet(root / "store/bars/exchange=XNYS/interval=1m/**/*.parquet")
    expected = []
    # Half an hour after the open at 14:30 UTC, and 13:30 in New York, which a half day (it closes at 13:00) has not.
    for day, clocks in (
        ("2024-11-27", ("15:00", "18:30")),
        ("2024-11-29", ("15:00",)),
        ("2024-12-02", ("15:00", "18:30")),
    ):
        held = set()
        for clock in clocks:
            at = instant(f"{day}T{clock}")
            for symbol in ("SIM001", "SIM002", "SIM003", "SIM004"):
                known = bars.filter(
                    (pl.col("symbol").cast(pl.String) == symbol)
                    & (pl.col("timestamp") >= instant(f"{day}T14:30"))
                    & (pl.col("timestamp") < at)
                ).sort("timestamp")
                typical = (known["high"] + known["low"] + known["close"]) / 3
                vwap = (typical * known["volume"]).sum() / known["volume"].sum()
                is_above = known["close"][-1] > vwap
                if is_above != (symbol in held):
                    expected.append((day, at, symbol, "selected" if is_above else "dropped"))
                    held ^= {symbol}

    assert [(row["session"], row["known_at"], row["symbol"], row["action"]) for row in changes] == expected
    assert {row["scanner"] for row in changes} == {"Risen"}
    assert all(row["reason"].startswith("move ") for row in changes)


def test_only_what_is_selected_is_entered_and_exits_are_free(root, tmp_path):
    run = ran(planned(root, RISEN), tmp_path)
    changes, orders = table(run, "selections"), table(run, "orders")
    refused = {row["order_id"] for row in table(run, "order_events") if row["event"] == "rejected"}
    entries = [order for order in orders if order["role"] == "entry"]

    assert {order["order_id"] in refused for order in entries} == {True, False}
    for order in entries:
        assert (order["order_id"] in refused) != selected_by(changes, order["symbol"], order["submitted_at"])
    assert not refused & {order["order_id"] for order in orders if order["role"] == "exit"}
    report = verify(run)
    assert [check.name for check in report.checks if check.violations] == []
    assert "selections_values" in {check.name for check in report.checks}


@pytest.mark.parametrize("use", ["own:Always", "own:Told", "own:Stepped"])
def test_a_replay_gives_the_same_bytes_and_every_kind_of_strategy_the_same_fills(root, tmp_path, use):
    plan = planned(root, RISEN, use=use)
    once = ran(plan, tmp_path / "once", workers=2)

    assert tree(ran(dataclasses.replace(plan, is_replayed=True), tmp_path / "again")) == tree(once)
    wide = ran(planned(root, RISEN), tmp_path / "columns")
    assert tree(once, "selections", "fills") == tree(wide, "selections", "fills")


def test_bars_after_a_scan_change_nothing_it_selects(root):
    plan = planned(root, RISEN)
    _, whole = session_of(plan)
    scans = [instant("2024-11-27T15:00"), instant("2024-11-27T18:30")]
    assert {row["known_at"] for row in whole.to_pylist()} == set(scans)
    for at in scans:

        def poisoned(bars, at=at):
            frame = pl.DataFrame(bars)
            later = pl.col("timestamp") >= at
            changed = frame.with_columns(
                **{name: pl.when(later).then(pl.col(name) * 7.0).otherwise(pl.col(name)) for name in ("high", "close")},
            )
            names = ["high", "close"]
            table = bars
            for name in names:
                place = table.column_names.index(name)
                table = table.set_column(place, bars.schema.field(name), changed[name].to_arrow())
            return table.combine_chunks()

        _, changed = session_of(plan, change=poisoned)
        kept = [row for row in whole.to_pylist() if row["known_at"] <= at]
        assert [row for row in changed.to_pylist() if row["known_at"] <= at] == kept


def of_symbol(bars, symbol, is_kept):
    """The bars without those of one symbol that `is_kept` (of instants) does not keep."""
    frame = pl.DataFrame(bars)
    own = frame["symbol"].cast(pl.String) == symbol
    keep = ~own | frame.select(is_kept.alias("keep"))["keep"]
    return bars.filter(keep.to_arrow()).combine_chunks()


def test_a_wider_intervals_value_is_known_when_its_bar_is_over_whenever_the_symbol_last_traded(root):
    """SIM002 trades in the first two minutes of each quarter of an hour and then not."""
    at = ["open+3m", "open+5m", "open+14m", "open+16m", "open+19m", "open+20m"]
    plan = planned(root, {"use": "own:Wide", "at": at, "keep": False})
    sparse = pl.col("timestamp").dt.minute() % 15 < 2
    _, changes = session_of(plan, change=lambda bars: of_symbol(bars, "SIM002", sparse))
    bars = pl.read_parquet(root / "store/bars/exchange=XNYS/interval=1m/**/*.parquet").filter(
        pl.col("symbol").cast(pl.String) == "SIM002", sparse
    )
    close = {row["timestamp"]: row["close"] for row in bars.to_dicts()}
    at_open = instant("2024-11-27T14:30")
    minutes = {k: close[at_open + dt.timedelta(minutes=k)] for k in (0, 1, 15)}
    minutes[16] = close[at_open + dt.timedelta(minutes=16)]

    # The bar of 09:30 to 09:35 has its close at 09:32 and is known at 09:35, when nothing trades.
    expected = {3: (None, 1), 5: (1, 1), 14: (1, 1), 16: (1, 15), 19: (1, 16), 20: (16, 16)}
    expected = {k: tuple(minutes.get(minute) for minute in pair) for k, pair in expected.items()}
    seen = seen_by(plan, lambda bars: of_symbol(bars, "SIM002", sparse))
    assert {k: seen[at_open + dt.timedelta(minutes=k)] for k in expected} == expected
    assert [row["action"] for row in changes.to_pylist()] == ["selected"]


def seen_by(plan, change):
    """By instant, what the first scanner was shown of SIM002: the columns wide and own."""
    told = {}
    scanner = plan.scanners[0]

    class Telling(type(scanner.strategy)):
        def select(self, now):
            row = now.filter(pl.col("symbol").cast(pl.String) == "SIM002").to_dicts()[0]
            told[row["now"]] = (row["wide"], row["own"])
            return super().select(now)

    session_of(dataclasses.replace(plan, scanners=[dataclasses.replace(scanner, strategy=Telling())]), change=change)
    return told


def test_each_session_has_a_scanner_of_its_own_however_the_run_is_cut(root, tmp_path):
    section = {"use": "own:Kept", "at": ["open", "open+1m", "open+2m"], "keep": False}
    plan = planned(root, section)
    whole = ran(plan, tmp_path / "whole")
    rows = table(whole, "selections")
    kept = tree(whole)

    assert {(row["session"], row["action"], row["reason"]) for row in rows} == {
        (session, action, f"asked {asked}")
        for session in ("2024-11-27", "2024-11-29", "2024-12-02")
        for action, asked in (("selected", "2 2"), ("dropped", "3 3"))
    }
    assert plan.scanners[0].strategy.asked == 0
    whole.manifest_path.unlink()
    whole.record_path("2024-11-29").unlink()
    assert tree(ran(planned(root, section), tmp_path / "whole", resume=True)) == kept


def test_a_scanner_that_cannot_be_copied_is_refused(root):
    with pytest.raises(StrategyError, match=r"scanner own:Held cannot be copied, and each session has a copy: TypeErr"):
        session_of(planned(root, {"use": "own:Held"}))


def test_an_entry_says_whether_its_symbol_was_not_selected_or_had_no_bar(root, tmp_path):
    """The simulated SIM002 has gaps; it is selected from half past on."""
    section = {"use": "own:Named", "params": {"symbol": "SIM002"}, "at": ["open+30m"]}
    run = ran(planned(root, section, use="own:Elsewhere", symbols=["SIM001", "SIM002"]), tmp_path)
    frame = pl.read_parquet(root / "store/bars/exchange=XNYS/interval=1m/**/*.parquet")
    held = set(frame.filter(pl.col("symbol").cast(pl.String) == "SIM002")["timestamp"].to_list())
    reasons = {row["order_id"]: row["reason"] for row in table(run, "order_events") if row["event"] == "rejected"}
    orders = [row for row in table(run, "orders") if row["role"] == "order"]

    for order in orders:
        is_early = order["submitted_at"].strftime("%H:%M") < "15:00"
        missing = order["timestamp"] not in held
        assert reasons.get(order["order_id"]) == ("no_bar" if missing else "not_selected" if is_early else None)
    assert set(reasons.values()) == {"no_bar", "not_selected"}


def test_two_scanners_add_up_and_of_a_half_day_the_close_is_its_own(root, tmp_path):
    first = {"use": "own:Named", "name": "first"}
    second = {"use": "own:Named", "name": "second", "params": {"symbol": "SIM003"}, "at": ["close-60m"]}
    rows, changes = session_of(planned(root, first, second), place=1)
    names = rows.symbols.to_pylist()

    assert [(row["scanner"], row["symbol"], row["action"]) for row in changes.to_pylist()] == [
        ("first", "SIM001", "selected"),
        ("second", "SIM003", "selected"),
    ]
    # Of a half day the close is at 18:00 UTC; the scan at the open saw no bar.
    known = [row["known_at"] for row in changes.to_pylist()]
    assert known == [instant("2024-11-29T14:30"), instant("2024-11-29T17:00")]
    late = rows.known_at >= int(known[1].timestamp() * 1e6)
    first = np.array([name == "SIM001" for name in names])[rows.codes]
    third = np.array([name == "SIM003" for name in names])[rows.codes]
    np.testing.assert_array_equal(rows.selected.on(rows.known_at, rows.codes), first | (third & late))


def test_a_symbol_without_bars_has_a_row_of_nulls_and_can_be_selected(root):
    def without(bars):
        frame = pl.DataFrame(bars)
        kept = (frame["symbol"].cast(pl.String) != "SIM001").to_arrow()
        return bars.filter(kept).combine_chunks()

    plan = planned(root, {"use": "own:Named", "at": ["open+30m"]}, RISEN)
    rows, changes = session_of(plan, change=without)

    assert "SIM001" in rows.symbols.to_pylist()
    assert [row["action"] for row in changes.to_pylist() if row["symbol"] == "SIM001"] == ["selected"]
    assert not (np.array(rows.symbols.to_pylist())[rows.codes] == "SIM001").any()


def test_the_samples_select_from_daily_closes_and_the_session(root, tmp_path):
    samples = "backtester.strategy.scanner_samples"
    gap = {
        "use": f"{samples}:GapScanner",
        "params": {"sessions": 2, "minimum_gap": 0.0, "minimum_volume": 1.0},
        "at": ["open", "open+30m"],
        "keep": False,
    }
    rising = {"use": f"{samples}:MomentumScanner", "params": {"sessions": 2, "minimum_volume": 1.0}, "at": ["10:30"]}
    run = ran(planned(root, gap, rising, history={"warm_up_sessions": 2}), tmp_path)
    changes = table(run, "selections")
    bars = pl.read_parquet(root / "store/bars/exchange=XNYS/interval=1m/**/*.parquet").with_columns(
        pl.col("symbol").cast(pl.String), day=pl.col("timestamp").dt.date()
    )
    # Regular hours, and those of the half day.
    minute, is_half = pl.col("timestamp").dt.strftime("%H:%M"), pl.col("day") == dt.date(2024, 11, 29)
    bars = bars.filter(
        (minute >= "14:30") & (minute < pl.when(is_half).then(pl.lit("18:00")).otherwise(pl.lit("21:00")))
    )
    closes = bars.sort("timestamp").group_by("symbol", "day").agg(pl.col("close").last()).sort("symbol", "day")
    expected = set()
    for symbol in bars["symbol"].unique().to_list():
        own = closes.filter(pl.col("symbol") == symbol)
        for day in (dt.date(2024, 11, 27), dt.date(2024, 11, 29), dt.date(2024, 12, 2)):
            before = own.filter(pl.col("day") < day)["close"].tail(2).to_list()
            if before[-1] / (sum(before) / 2) - 1.0 >= 0.0:
                expected.add((str(day), symbol))
    at_open = {(row["session"], row["symbol"]) for row in changes if row["known_at"].strftime("%H:%M") == "14:30"}

    assert at_open == expected
    assert expected
    later = [row for row in changes if row["scanner"] == "MomentumScanner"]
    assert later
    for row in later:
        assert row["known_at"].strftime("%H:%M") == "15:30"
        latest = bars.filter((pl.col("symbol") == row["symbol"]) & (pl.col("timestamp") < row["known_at"])).sort(
            "timestamp"
        )
        assert latest["close"][-1] > latest["open"][-1]


def test_the_source_and_the_sections_of_scanners_are_part_of_the_runs_name(root):
    one = planned(root, RISEN).run_id
    assert planned(root, {**RISEN, "keep": True}).run_id != one
    assert planned(root, RISEN).run_id == one
    (root / "other.py").write_text(OWN)
    alone = planned(root, {**RISEN, "use": "other:Risen"}).run_id
    (root / "other.py").write_text(OWN + "\n# changed\n")
    assert planned(root, {**RISEN, "use": "other:Risen"}).run_id != alone


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"use": "own:Risne"}, r"scanners\[0\]\.use is 'own:Risne'; own .*has no class Risne; did you mean .*Risen"),
        ({"use": "own:Always"}, r"own:Always has none; a scanner has select"),
        ({"use": "own:Risen", "params": {"bye": 1.0}}, r"scanners\[0\]\.params\.bye.*did you mean .*by"),
        ({"use": "own:Risen", "at": ["9:3"]}, r"scanners\[0\]\.at.*'9:3' is no time of a session"),
        ({"use": "own:Risen", "at": "10:30"}, r"scanners\[0\]\.at is '10:30'; expected a list: \[\"10:30\"\]"),
        ({"use": "own:Risen", "at": ["close"]}, r"'close' is no time of a session"),
        ({"use": "own:Risen", "att": ["open"]}, r"scanners\[0\]\.att: unknown key .*at"),
    ],
)
def test_what_is_wrong_with_a_scanner_is_told_at_once(root, section, message):
    with pytest.raises(ConfigError, match=message):
        planned(root, section)


def test_scanners_need_names_of_their_own_and_a_strategy(root):
    with pytest.raises(ConfigError, match=r"two \[\[scanners\]\] are called Risen"):
        planned(root, RISEN, RISEN)
    path = root / "alone.json"
    path.write_text(
        json.dumps({"run": {"name": "a", "exchange": "XNYS", "start": "2024-11-27", "end": "2024-11-27",
                            "symbols": "*"}, "scanners": [RISEN]})
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"\[scanners\] is about the orders of a strategy"):
        plans.from_file(path, Store(root / "store"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Broken", "selected is Float64; expected true or false"),
        ("Short", "select gave 1 rows for 4 symbols"),
        ("Sorted", "select gave its symbols in another order than `now`"),
        ("Leaving", r"SystemExit: 0 \(own\.py"),
        ("Failing", r"ColumnNotFoundError.*own\.py"),
    ],
)
def test_what_a_scanner_gives_is_checked(root, name, message):
    with pytest.raises(StrategyError, match=rf"scanner own:{name}, session 2024-11-27, .* UTC: .*{message}"):
        session_of(planned(root, {"use": f"own:{name}", "at": ["open+30m"]}))
