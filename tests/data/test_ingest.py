"""Whole imports: the commands of the docs, what they refuse, what they keep, and the same twice."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import zipfile
from pathlib import Path
from random import Random

import polars as pl
import pytest

from backtester.data import ingest as pipeline
from backtester.data.store import Store
from backtester.interval import Interval
from tests.data.vendor_bars import (
    COLUMNS,
    POSITIONS,
    Kind,
    new_york,
    real,
    run_import,
    shift,
    simulate,
    write_csv,
)

ONE_MINUTE = Interval.parse("1m")
XNYS = ("--exchange", "XNYS", "--interval", "1m")
UTC_START = ("--timezone", "UTC", "--label", "start")


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    """Two symbols, three sessions around Independence Day (one is short), extended hours."""
    kinds = {"AAA": Kind(extended=0.3, closing_print=True), "BBB": Kind(regular=0.6, extended=0.05)}
    return simulate(kinds, start="2025-07-02", end="2025-07-07")


@pytest.fixture
def vendor(bars, tmp_path) -> Path:
    """The bars as a vendor's text file, in UTC."""
    return write_csv(bars, tmp_path / "vendor.csv")


def stored(store: Path, exchange: str = "XNYS", interval: str = "1m") -> pl.DataFrame:
    """Every stored bar by symbol and time, the session beside it."""
    held, length, frames = Store(store), Interval.parse(interval), []
    for session in held.sessions(exchange, length):
        entry = held.entry(exchange, length, session)
        assert entry is not None
        frame = pl.DataFrame(pl.from_arrow(held.load(entry)))
        frames.append(frame.with_columns(pl.col("symbol").cast(pl.String), pl.lit(session).alias("session")))
    rows = pl.concat(frames).sort("symbol", "timestamp")
    return rows.with_columns(pl.col("timestamp").to_physical()).select(*COLUMNS, "session")


def same_bars(found: pl.DataFrame, expected: pl.DataFrame) -> bool:
    return found.select(COLUMNS).equals(expected.select(COLUMNS).sort("symbol", "timestamp"))


def test_what_is_imported_is_what_was_written_by_session(vendor, bars, tmp_path):
    done = run_import("csv", vendor, tmp_path / "store", *XNYS, *UTC_START)

    found = stored(tmp_path / "store")
    assert done.code == 0
    assert same_bars(found, bars)
    assert found["session"].unique().sort().to_list() == [dt.date(2025, 7, day) for day in (2, 3, 7)]


def test_the_same_import_again_changes_nothing(vendor, bars, tmp_path):
    first = json.loads(run_import("csv", vendor, tmp_path / "store", *XNYS, *UTC_START, "--json").out)
    before = {path: path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()}
    second = json.loads(run_import("csv", vendor, tmp_path / "store", *XNYS, *UTC_START, "--json").out)

    assert (first["sessions_written"], first["sessions_unchanged"], first["rows_stored"]) == (3, 0, bars.height)
    assert (second["sessions_written"], second["sessions_unchanged"], second["rows_stored"]) == (0, 3, 0)
    assert {path: path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("zone", "label_minutes", "declared"),
    [
        ("America/New_York", 0, ("--timezone", "America/New_York", "--label", "start")),
        ("America/New_York", 1, ("--timezone", "America/New_York", "--label", "end")),
        ("UTC", 1, ("--timezone", "UTC", "--label", "end")),
        ("Asia/Tokyo", 0, ("--timezone", "Asia/Tokyo", "--label", "start")),
        ("UTC", 240, ("--timezone", "UTC", "--label", "start", "--shift", "-4h")),
        ("Etc/GMT+5", -90, ("--timezone", "-05:00", "--label", "start", "--shift", "90m")),
    ],
)
def test_every_vendor_s_clock_leads_to_the_same_bars(bars, tmp_path, zone, label_minutes, declared):
    path = write_csv(bars, tmp_path / "vendor.csv", zone=zone, label_minutes=label_minutes)

    done = run_import("csv", path, tmp_path / "store", *XNYS, *declared)

    assert done.code == 0, done.err
    assert same_bars(stored(tmp_path / "store"), bars)


def test_labels_that_the_bars_contradict_are_refused_and_nothing_is_stored(vendor, tmp_path):
    done = run_import("csv", vendor, tmp_path / "store", *XNYS, "--timezone", "America/New_York", "--label", "start")

    assert done.code == 4
    assert "import with --timezone UTC; or as labelled all the same with --accept-labels" in done.err
    assert not (tmp_path / "store").exists()


def test_accepted_labels_are_stored_with_the_evidence(vendor, bars, tmp_path):
    declared = (*UTC_START, "--shift", "1h", "--accept-labels", "--json")
    done = run_import("csv", vendor, tmp_path / "store", *XNYS, *declared)

    assert json.loads(done.out)["labels"][0]["verdict"] == "contradicts"
    assert "imported as declared" in done.err
    assert same_bars(stored(tmp_path / "store"), shift(bars, 60))
    entry = Store(tmp_path / "store").entry("XNYS", ONE_MINUTE, dt.date(2025, 7, 2))
    assert entry is not None
    assert entry.sources[0]["labels"]["remedies"] == ["--shift 0"]
    assert entry.sources[0]["files"][0]["name"] == "vendor.csv"
    assert str(tmp_path) not in json.dumps(entry.sources)


@pytest.mark.parametrize("missing", ["--label", "--timezone"])
def test_what_a_file_cannot_say_has_to_be_declared(vendor, tmp_path, missing):
    declared = {"--label": ("--timezone", "UTC"), "--timezone": ("--label", "start")}[missing]

    done = run_import("csv", vendor, tmp_path / "store", *XNYS, *declared)

    assert done.code in (2, 4)
    assert missing in done.err


def faulty(bars: pl.DataFrame, path: Path) -> Path:
    """The bars with a bad row of several kinds: impossible, unreadable, repeated, conflicting, on a Saturday."""
    write_csv(bars, path)
    lines = path.read_text().splitlines()
    good = lines[100].split(",")
    lines[10] = ",".join([*lines[10].split(",")[:2], "0.01", *lines[10].split(",")[3:]])
    lines[20] = lines[20].replace(",AAA", "x,AAA")
    lines.insert(101, ",".join(good))
    lines.insert(102, ",".join([*good[:5], "1.0", good[6]]))
    lines.append("2025-07-12 14:30:00,1,1,1,1,1,BBB")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_rows_that_are_no_bars_are_refused_with_counts_and_samples(bars, tmp_path):
    path = faulty(bars, tmp_path / "vendor.csv")

    done = run_import("csv", path, tmp_path / "store", *XNYS, *UTC_START)

    assert done.code == 4
    assert f"5 of {bars.height + 3} rows are no bars of XNYS" in done.err
    for words in (
        "impossible bar: 1 row",
        "vendor.csv row 11 (",
        "unreadable number: 1 row",
        "volume '",
        "repeats an identical bar: 1 row",
        "repeats a label with other values: 1 row",
        "outside any session: 1 row",
        "2025-07-12 14:30:00Z",
        "--bad-rows quarantine",
    ):
        assert words in done.err
    assert not (tmp_path / "store").exists()


def test_quarantined_rows_are_kept_counted_and_idempotent(bars, tmp_path):
    path = faulty(bars, tmp_path / "vendor.csv")
    arguments = ("csv", path, tmp_path / "store", *XNYS, *UTC_START, "--bad-rows", "quarantine", "--json")
    done, again = run_import(*arguments), run_import(*arguments)

    summary = json.loads(done.out)
    reasons = {fault["reason"]: fault["rows"] for fault in summary["quarantined"]}
    assert reasons == dict.fromkeys(
        [
            "impossible bar",
            "unreadable number",
            "repeats an identical bar",
            "repeats a label with other values",
            "outside any session",
        ],
        1,
    )
    assert "quarantined: impossible bar: 1 row" in done.err
    assert json.loads(again.out)["rows_stored"] == 0
    kept = Store(tmp_path / "store").quarantined("XNYS", ONE_MINUTE).to_pylist()
    assert sorted(row["reason"] for row in kept) == sorted(reasons)
    assert {row["source"] for row in kept} == {"vendor.csv"}
    assert [row["row"] for row in kept if row["reason"] == "impossible bar"] == [11]
    without = bars.with_row_index().filter(~pl.col("index").is_in([9, 19])).drop("index")
    assert same_bars(stored(tmp_path / "store"), without)


def test_a_file_without_a_single_bar_is_refused_even_under_quarantine(tmp_path):
    path = tmp_path / "vendor.csv"
    path.write_text("timestamp,open,high,low,close,volume\n2025-07-12 14:30:00,1,1,1,1,1\n")

    done = run_import("csv", path, tmp_path / "store", *XNYS, *UTC_START, "--symbol", "A", "--bad-rows", "quarantine")

    assert done.code == 4
    assert "1 of 1 rows are no bars" in done.err


def test_columns_in_the_wrong_order_show_as_impossible_bars(bars, tmp_path):
    path = write_csv(bars, tmp_path / "vendor.csv")
    wrong = "timestamp=1,open=2,high=4,low=3,close=5,volume=6,symbol=7"

    done = run_import("csv", path, tmp_path / "store", *XNYS, *UTC_START, "--columns", wrong)

    assert done.code == 4
    assert "impossible bar" in done.err
    assert "--columns" in done.err


def test_a_year_that_no_calendar_knows_is_named(bars, tmp_path):
    path = tmp_path / "vendor.csv"
    path.write_text(
        "timestamp,open,high,low,close,volume\n1970-01-02 14:30:00,1,1,1,1,1\n2262-01-02 14:30:00,1,1,1,1,1\n"
    )

    done = run_import("csv", path, tmp_path / "store", *XNYS, *UTC_START, "--symbol", "A")

    assert done.code == 4
    assert "outside the packaged calendar: 2 rows" in done.err


def test_other_values_for_stored_bars_need_replace(vendor, bars, tmp_path):
    run_import("csv", vendor, tmp_path / "store", *XNYS, *UTC_START)
    changed = bars.with_columns(pl.col("volume") + 1)
    path = write_csv(changed, tmp_path / "changed.csv")

    refused = run_import("csv", path, tmp_path / "store", *XNYS, *UTC_START)
    replaced = run_import("csv", path, tmp_path / "store", *XNYS, *UTC_START, "--replace")

    assert (refused.code, replaced.code) == (4, 0)
    assert "--replace" in refused.err
    assert same_bars(stored(tmp_path / "store"), changed)


def test_symbols_come_together_from_many_files(bars, tmp_path):
    for symbol in ("AAA", "BBB"):
        own = bars.filter(pl.col("symbol") == symbol)
        plain = write_csv(own, tmp_path / f"{symbol}.txt").read_text().splitlines()
        (tmp_path / "vendor").mkdir(exist_ok=True)
        text = "\n".join(line.rpartition(",")[0] for line in plain) + "\n"
        (tmp_path / "vendor" / f"{symbol}_1m.csv.gz").write_bytes(gzip.compress(text.encode()))

    declared = ("--symbol-from", "*_1m.csv.gz", *UTC_START)
    done = run_import("csv", tmp_path / "vendor", tmp_path / "store", *XNYS, *declared)

    assert done.code == 0, done.err
    assert same_bars(stored(tmp_path / "store"), bars)


@pytest.mark.parametrize("batch_rows", [1, 1000])
def test_batches_store_what_one_does(bars, tmp_path, monkeypatch, batch_rows):
    monkeypatch.setattr(pipeline, "BATCH_ROWS", batch_rows)
    paths = []
    for number, part in enumerate(bars.partition_by("symbol")):
        paths.append(write_csv(part, tmp_path / f"{number}.csv"))

    done = run_import("csv", *paths, tmp_path / "store", *XNYS, *UTC_START, "--json")

    assert json.loads(done.out)["files"] == 2
    assert same_bars(stored(tmp_path / "store"), bars)


def test_a_map_file_describes_a_vendor_once(bars, tmp_path):
    path = write_csv(bars, tmp_path / "vendor.csv", zone="America/New_York", label_minutes=1)
    described = tmp_path / "vendor.toml"
    described.write_text('timezone = "America/New_York"\nlabel = "end"\n[columns]\nsymbol = "symbol"\n')

    done = run_import("csv", path, tmp_path / "store", *XNYS, "--map", described)

    assert done.code == 0, done.err
    assert same_bars(stored(tmp_path / "store"), bars)


@pytest.mark.parametrize("wall_clock", [True, False])
def test_parquet_imports_to_the_same_bars_as_text(bars, tmp_path, wall_clock):
    instant = pl.col("timestamp").cast(pl.Datetime("us", "UTC")).dt.convert_time_zone("America/New_York")
    times = instant.dt.replace_time_zone(None) if wall_clock else instant
    bars.with_columns(times.alias("Date")).drop("timestamp").write_parquet(tmp_path / "vendor.parquet")
    zone = ("--timezone", "America/New_York") if wall_clock else ()

    done = run_import("parquet", tmp_path / "vendor.parquet", tmp_path / "store", *XNYS, "--label", "start", *zone)

    assert done.code == 0, done.err
    assert same_bars(stored(tmp_path / "store"), bars)


def test_daily_bars_start_at_the_open_of_their_session(tmp_path):
    path = tmp_path / "vendor.csv"
    path.write_text("Date,Open,High,Low,Close,Volume\n2025-07-02,1,2,1,2,5\n2025-07-03,2,3,2,3,6\n")

    done = run_import("csv", path, tmp_path / "store", "--exchange", "XNYS", "--interval", "1d", "--symbol", "A")

    assert done.code == 0, done.err
    assert new_york(stored(tmp_path / "store", interval="1d")["timestamp"]) == ["2025-07-02 09:30", "2025-07-03 09:30"]


@pytest.mark.parametrize("symbol", ["AAPL", "RIVN"])
def test_the_dumps_with_the_right_shift_have_every_regular_minute(tmp_path, symbol):
    path = real("mismartera", f"bars_dump_{symbol}_2025-07-02.csv")
    declared = (*XNYS, "--symbol", symbol, *UTC_START)

    refused = run_import("csv", path, tmp_path / "labelled", *declared)
    done = run_import("csv", path, tmp_path / "store", *declared, "--shift", "-4h")

    assert (refused.code, done.code) == (4, 0)
    assert "--shift -4h" in refused.err
    assert "the bars agree: 390 of 390 bars of regular hours" in done.err


def test_the_dump_accepted_as_labelled_has_349_minutes(tmp_path):
    path = real("mismartera", "bars_dump_AAPL_2025-07-02.csv")

    done = run_import("csv", path, tmp_path / "s", *XNYS, "--symbol", "AAPL", *UTC_START, "--accept-labels", "--json")

    assert json.loads(done.out)["labels"][0]["labelled"]["bars"] == 349


def test_other_containers_import_to_exactly_lean_s_bars(tmp_path):
    containers, raw = real("reencoded_containers"), "lean-reencoded-20131007-20131011.ohlcv-1m.raw_ints.csv"
    names = tmp_path / "names.toml"
    names.write_text(
        'label = "start"\nprice_scale = 1e9\ncolumns = { symbol = "instrument_id" }\n'
        'symbols = { 1001 = "AIG", 1002 = "BAC", 1003 = "SPY" }\n'
    )
    lean = ("--symbols", "SPY,AIG,BAC", "--start", "2013-10-07", "--end", "2013-10-11")
    databento, start = containers / "databento_layout", ("--label", "start")

    runs = [
        run_import("lean", real("lean"), tmp_path / "lean", *XNYS, *lean),
        run_import("csv", containers / "polygon_flatfile_layout", tmp_path / "polygon", *XNYS, *start),
        run_import("csv", databento / raw.replace(".raw_ints", ""), tmp_path / "databento", *XNYS, *start),
        run_import("csv", databento / raw, tmp_path / "raw", *XNYS, "--map", names),
    ]

    assert [run.code for run in runs] == [0] * 4
    expected = stored(tmp_path / "lean")
    assert expected.height == 9219
    for store in ("polygon", "databento", "raw"):
        assert stored(tmp_path / store).equals(expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("forex", "24/5"), "--price mid"),
        (("cfd", "us_futures"), "--price mid"),
    ],
)
def test_quote_only_markets_name_the_option_and_take_it(tmp_path, arguments, message):
    asset_class, exchange = arguments
    declared = ("--exchange", exchange, "--interval", "1m", "--asset-class", asset_class)

    refused = run_import("lean", real("lean"), tmp_path / "s", *declared)
    done = run_import("lean", real("lean"), tmp_path / "s", *declared, "--price", "mid", "--bad-rows", "quarantine")

    assert (refused.code, done.code) == (4, 0), done.err
    assert message in refused.err
    assert stored(tmp_path / "s", exchange)["volume"].sum() == 0.0


@pytest.mark.parametrize(
    ("path", "declared"),
    [
        ("ninjatrader_spy_2011/nt-spy-minute-2011.csv", (*XNYS, "--label", "end", "--timezone", "UTC", "--no-header")),
        (
            "nautilus/ADABTC-1m-2021-11-27.csv",
            ("--exchange", "24/7", "--interval", "1m", "--label", "start", "--no-header"),
        ),
    ],
)
def test_tables_without_a_header_are_imported_by_position(tmp_path, path, declared):
    done = run_import("csv", real(path), tmp_path / "s", "--symbol", "X", *declared, "--columns", POSITIONS)

    assert done.code == 0, done.err


FRAGMENTS = [
    b",",
    b"\n",
    b'"',
    b"nan",
    b"1e999",
    b"\0",
    b"\xff",
    b"\r",
    b"2025-03-09 02:30:00",
    b"9" * 30,
    b";",
    b"99999-01-01",
]


def _mutated(data: bytes, random: Random) -> bytes:
    body = bytearray(data)
    for _ in range(random.randrange(1, 6)):
        at = random.randrange(len(body))
        if random.random() < 0.4:
            body[at] = random.randrange(256)
        elif random.random() < 0.6:
            body[at:at] = random.choice(FRAGMENTS)
        else:
            del body[at : at + random.randrange(1, 40)]
    return bytes(body)


@pytest.mark.parametrize("kind", ["csv", "gz", "parquet", "zip"])
def test_mutated_files_are_imported_or_refused_and_never_anything_else(bars, tmp_path, kind):
    random, own = Random(11), bars.filter(pl.col("symbol") == "AAA")
    text = write_csv(own, tmp_path / "good.csv").read_bytes()
    whole = own.with_columns(pl.col("timestamp").cast(pl.Datetime("us", "UTC")))
    whole.write_parquet(tmp_path / "good.parquet")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr(
            "x.csv", b"".join(b"%d,10000,10100,9900,10050,7\n" % (34_200_000 + 60_000 * k) for k in range(390))
        )
    good = {"csv": text, "gz": gzip.compress(text), "parquet": (tmp_path / "good.parquet").read_bytes()}
    good["zip"] = archive.getvalue()
    path = tmp_path / {"gz": "bad.csv.gz", "zip": "equity/usa/minute/spy/20250702_trade.zip"}.get(kind, f"bad.{kind}")
    path.parent.mkdir(parents=True, exist_ok=True)
    arguments: tuple[object, ...] = ("csv", path, *UTC_START)
    if kind == "parquet":
        arguments = ("parquet", path, "--label", "start")
    elif kind == "zip":
        arguments = ("lean", tmp_path)

    for number in range(40):
        path.write_bytes(_mutated(good[kind], random))
        policy = ("--bad-rows", random.choice(["refuse", "quarantine"]), "--accept-labels")
        done = run_import(arguments[0], arguments[1], tmp_path / f"s{number}", *arguments[2:], *XNYS, *policy)

        assert done.code in (0, 4), done.err


ORACLE_SETS = {
    "lean_SPY_201310": ("lean", ("--symbols", "SPY")),
    "lean_AIG_201310": ("lean", ("--symbols", "AIG")),
    "lean_AAPL_201406": ("lean", ("--symbols", "AAPL")),
    "lean_GOOG_201512_halfday": ("lean", ("--symbols", "GOOG")),
    "mit2024_AZO_ERIE_EXE_FICO": (
        "us_equity_2024_1m_mit/stocks",
        ("--symbol-from", "*/2024.csv", "--label", "start"),
    ),
    "ext2025-01_13sym": ("us_equity_2025_1m_ext/2025-01", ("--symbol-from", "*.csv", "--label", "start")),
    "mismartera_AAPL_20250702": (
        "mismartera/bars_dump_AAPL_2025-07-02.csv",
        ("--symbol", "AAPL", *UTC_START, "--accept-labels"),
    ),
}


@pytest.mark.parametrize("name", ORACLE_SETS)
def test_session_metrics_of_imported_bars_equal_the_oracle(tmp_path, name):
    path, declared = ORACLE_SETS[name]
    oracle = pl.read_csv(real("..", "oracles", "session_metrics", f"{name}_session_metrics.csv"), try_parse_dates=True)
    done = run_import("lean" if path == "lean" else "csv", real(path), tmp_path / "s", *XNYS, *declared)
    assert done.code == 0, done.err

    clock = (
        pl.from_epoch("timestamp", time_unit="us").dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York")
    )
    bars = (
        stored(tmp_path / "s").with_columns(clock.alias("clock")).with_columns(pl.col("clock").dt.time().alias("time"))
    )
    hours = oracle.select("symbol", "date", "session_open", "session_close")
    inside = bars.join(hours, left_on=["symbol", "session"], right_on=["symbol", "date"]).filter(
        pl.col("time") >= pl.col("session_open"), pl.col("time") < pl.col("session_close")
    )
    found = inside.group_by("symbol", "session").agg(
        pl.len().alias("bars"),
        pl.col("time").min().alias("first_bar"),
        pl.col("time").max().alias("last_bar"),
        pl.col("open").first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close").last(),
        pl.col("volume").sum(),
    )

    names = ["bars", "first_bar", "last_bar", "open", "high", "low", "close", "volume"]
    expected = oracle.select("symbol", pl.col("date").alias("session"), pl.col("bars").cast(pl.UInt32), *names[1:])
    assert (
        found.sort("symbol", "session").select("symbol", "session", *names).equals(expected.sort("symbol", "session"))
    )
