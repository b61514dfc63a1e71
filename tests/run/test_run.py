"""Whole runs through the command line: figures on real bars, kills, owners, workers, failures."""

import csv
import datetime as dt
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backtester.data.run_dir import RunDir
from backtester.data.store import Store
from backtester.interval import Interval

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
real = pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="the real market data is not beside this checkout")
CLI = [sys.executable, "-c", "from backtester.cli import main; main()"]


def cli(*words, code=0, **environment):
    done = subprocess.run(
        [*CLI, *map(str, words)], capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def run(config, store, out, *options, code=0, **environment):
    done = cli("run", config, "--store", store, "--out", out, "--json", *options, code=code, **environment)
    return json.loads(done.stdout)


def ask(run_dir, sql):
    return json.loads(cli("sql", run_dir, sql, "--format", "json").stdout)


def tree(root):
    files = sorted(p for kind in ("tables", "sessions") for p in (root / kind).rglob("*") if p.is_file())
    files += [root / "MANIFEST.json", root / "config.toml"]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def config(path, **settings):
    base = {"name": "test", "exchange": "XNYS", "start": "2024-11-18", "end": "2024-12-03", "symbols": "*"}
    path.write_text(
        json.dumps({"run": {**base, "derived": ["5m", "15m"], **settings}, "history": {"trailing_sessions": 2}})
    )
    return path


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    store = tmp_path_factory.mktemp("sample") / "store"
    cli("sample", store)
    return store


@pytest.fixture(scope="module")
def long_sample(tmp_path_factory):
    store = tmp_path_factory.mktemp("long") / "store"
    cli("sample", store, "--start", "2024-11-04", "--end", "2024-12-03", "--symbols", "12")
    return store


@real
def test_the_seed_session_has_its_figures(tmp_path):
    for symbol in ("AAPL", "RIVN"):
        source = SHARED / "data/mismartera" / f"bars_dump_{symbol}_2025-07-02.csv"
        words = ["--symbol", symbol, "--exchange", "XNYS", "--interval", "1m", "--timezone", "UTC", "--label", "start"]
        refused = cli("import", "csv", source, tmp_path / "store", *words, code=4)
        assert "--shift -4h" in refused.stderr
        cli("import", "csv", source, tmp_path / "store", *words, "--shift", "-4h")
    result = run(ROOT / "configs/seed.toml", tmp_path / "store", tmp_path / "out")
    names = "volume, high, low, open, close, bars, expected_bars, quality_pct"
    rows = ask(result["run_dir"], f"select {names} from session_summary where session = '2025-07-02' order by symbol")

    assert (result["sessions"], result["bars"], result["failed"]) == (2, 780, 0)
    assert [list(row.values()) for row in rows] == [
        [59584161.0, 213.34, 208.14, 208.99, 212.41, 390, 390, 100.0],
        [38355350.0, 13.33, 12.83, 13.30, 12.875, 390, 390, 100.0],
    ]
    derived = ask(
        result["run_dir"], "select symbol, interval, count(*) as n from derived_bars group by all order by all"
    )
    assert [row["n"] for row in derived] == [26, 78, 26, 78]
    log = (Path(result["run_dir"]) / "log/session_flow.log").read_text()
    assert "[SESSION_FLOW] PHASE_5.SUMMARY: 390 iterations, 780 bars, final time = 16:00:00" in log
    cli("verify", result["run_dir"])


ORACLES = {
    "lean_SPY_201310": ("lean", "SPY"),
    "lean_AIG_201310": ("lean", "AIG"),
    "lean_AAPL_201406": ("lean", "AAPL"),
    "lean_GOOG_201512_halfday": ("lean", "GOOG"),
    "mismartera_AAPL_20250702": ("mismartera", "AAPL"),
    "mit2024_AZO_ERIE_EXE_FICO": ("mit", "AZO,ERIE,EXE,FICO"),
    "ext2025-01_13sym": ("ext", None),
}


@pytest.fixture(scope="module")
def vendor_store(tmp_path_factory):
    root, data = tmp_path_factory.mktemp("vendor"), SHARED / "data"
    common = ["--exchange", "XNYS", "--interval", "1m"]
    cli("import", "lean", data / "lean", root / "lean", *common, "--symbols", "SPY,AIG,BAC,AAPL,GOOG")
    dump = data / "mismartera/bars_dump_AAPL_2025-07-02.csv"
    declared = ["--timezone", "UTC", "--label", "start"]
    cli("import", "csv", dump, root / "mismartera", *common, *declared, "--symbol", "AAPL", "--accept-labels")
    mit = data / "us_equity_2024_1m_mit/stocks/ohlc/usd/1min"
    cli("import", "csv", mit, root / "mit", *common, "--label", "start", "--symbol-from", "*/2024.csv")
    ext = data / "us_equity_2025_1m_ext/2025-01"
    cli("import", "csv", ext, root / "ext", *common, *declared, "--symbol-from", "*.csv")
    return root


def read_csv(name):
    with (SHARED / "oracles/session_metrics" / name).open(newline="") as file:
        return list(csv.DictReader(file))


@real
@pytest.mark.parametrize("name", ORACLES)
def test_a_run_reproduces_the_oracle(tmp_path, vendor_store, name):
    kind, symbols = ORACLES[name]
    metrics = read_csv(f"{name}_session_metrics.csv")
    wanted = symbols or ",".join(sorted({row["symbol"] for row in metrics}))
    dates = sorted({row["date"] for row in metrics})
    settings = {
        "start": dates[0],
        "end": dates[-1],
        "symbols": wanted.split(","),
        "derived": ["5m", "15m", "30m", "60m"],
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"run": {"name": name, "exchange": "XNYS", **settings}}))
    where = Path(run(path, vendor_store / kind, tmp_path / "out")["run_dir"])
    found = {(row["symbol"], row["session"]): row for row in ask(where, "select * from session_summary")}
    for row in metrics:
        own = found[row["symbol"], row["date"]]
        same = {"minutes_expected": "expected_bars", "bars": "bars", "minutes_missing": "missing_bars"}
        same |= {name: name for name in ("open", "high", "low", "close", "volume")}
        same |= {"bars_pre": "pre_bars", "bars_post": "post_bars", "volume_post": "post_volume"}
        assert {k: float(row[k]) for k in same} == {k: float(own[v]) for k, v in same.items()}, row
    stored = Store(vendor_store / kind)
    for row in metrics:
        entry = stored.entry("XNYS", Interval.parse("1m"), dt.date.fromisoformat(row["date"]))
        rows = stored.load(entry, [row["symbol"]]).to_pylist()
        own = found[row["symbol"], row["date"]]
        regular = [
            r
            for r in rows
            if own["session_open"] <= r["timestamp"].strftime("%Y-%m-%dT%H:%M:%SZ") < own["session_close"]
        ]
        total = sum(r["close"] * r["volume"] for r in regular)
        assert total == pytest.approx(float(row["close_x_volume"]), rel=1e-9)
    clock = "strftime({} at time zone 'America/New_York', '%H:%M')"
    sql = f"select *, {clock.format('timestamp')} as label from derived_bars"
    bars = {(r["symbol"], r["session"], r["interval"], r["label"]): r for r in ask(where, sql)}
    expected = read_csv(f"{name}_derived_bars.csv")
    for row in expected:
        own = bars[row["symbol"], row["date"], f"{row['minutes']}m", row["label"]]
        names = ("open", "high", "low", "close", "volume", "bars")
        assert [float(row[k]) for k in names] == [float(own[k]) for k in names], row
    missing_file = SHARED / "oracles/session_metrics" / f"{name}_missing_minutes.csv"
    if missing_file.is_file():
        spread = "unnest(generate_series(first_missing, last_missing, interval 1 minute))"
        rows = ask(where, f"select symbol, session, {clock.format('m')} as m from (select *, {spread} as m from gaps)")
        listed = {(r["symbol"], r["date"], r["minute"]) for r in read_csv(missing_file.name)}
        assert {(r["symbol"], r["session"], r["m"]) for r in rows if r["session"] in dates} == listed


def test_any_number_of_workers_gives_the_same_bytes(tmp_path, long_sample):
    path = config(tmp_path / "c.json", start="2024-11-04", tables=["running"])
    trees = [tree(Path(run(path, long_sample, tmp_path / str(n), "--workers", n)["run_dir"])) for n in (1, 2, 4)]

    assert trees[0] == trees[1] == trees[2]


def test_any_cpu_target_and_no_compiler_give_the_same_bytes(tmp_path, long_sample):
    path = config(tmp_path / "c.json", start="2024-11-04", tables=["running"])
    modes = [{"NUMBA_CPU_NAME": "generic"}, {"NUMBA_CPU_NAME": "haswell"}, {"NUMBA_DISABLE_JIT": "1"}]
    trees = [
        tree(Path(run(path, long_sample, tmp_path / str(n), BACKTESTER_CACHE=str(tmp_path), **mode)["run_dir"]))
        for n, mode in enumerate(modes)
    ]

    assert trees[0] == trees[1] == trees[2]


@pytest.mark.parametrize("kills", [10, pytest.param(30, marks=pytest.mark.soak)])
def test_a_killed_run_resumes_to_the_same_bytes(tmp_path, long_sample, kills):
    path = config(tmp_path / "c.json", start="2024-11-04")
    whole = Path(run(path, long_sample, tmp_path / "whole")["run_dir"])
    dice, command = random.Random(7), [*CLI, "run", str(path), "--store", str(long_sample)]
    for trial in range(kills):
        out = tmp_path / f"killed{trial}"
        child = subprocess.Popen([*command, "--out", str(out)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(dice.uniform(0.2, 1.6))
        child.kill()
        child.wait()
        resumed = Path(run(path, long_sample, out, "--resume")["run_dir"])
        assert tree(resumed) == tree(whole)
        assert not list(resumed.rglob("*.tmp"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interrupted_run_says_so_and_resumes(tmp_path, long_sample, number, code):
    path = config(tmp_path / "c.json", start="2024-11-04")
    child = subprocess.Popen([*CLI, "run", str(path), "--store", str(long_sample), "--out", str(tmp_path / "out")])
    while not list(tmp_path.glob("out/*/sessions/*.json")):
        time.sleep(0.005)
        assert child.poll() is None, "the run ended before it could be interrupted"
    child.send_signal(number)

    assert child.wait() in (code, 0)
    assert run(path, long_sample, tmp_path / "out", "--resume")["failed"] == 0


def test_two_runs_into_one_output_have_one_owner(tmp_path, sample):
    from backtester.data.durable import owned

    path = config(tmp_path / "c.json")
    where = Path(run(path, sample, tmp_path / "out")["run_dir"])
    with owned(where, "run"):
        refused = cli("run", path, "--store", sample, "--out", tmp_path / "out", code=6)
    assert f"pid {os.getpid()}" in refused.stderr


def test_an_unknown_symbol_is_a_row_and_an_exit_code(tmp_path, sample):
    path = config(tmp_path / "c.json", symbols=["SIM001", "NOBODY"])
    result = run(path, sample, tmp_path / "out", code=7)

    assert result["failed"] == result["sessions"]
    assert {row["symbol"] for row in ask(result["run_dir"], "select symbol from failures")} == {"NOBODY"}
    refused = cli("run", config(path, symbols=["SIM01"]), "--store", sample, "--out", tmp_path / "out", code=4)
    assert "did you mean SIM001?" in refused.stderr


def test_damage_to_one_symbol_leaves_the_others(tmp_path):
    cli("sample", tmp_path / "store")
    store = Store(tmp_path / "store")
    entry = store.entry("XNYS", Interval.parse("1m"), dt.date(2024, 11, 20))
    content = bytearray(entry.path.read_bytes())
    offset = entry.layout.columns["close"][0]
    content[offset + 3] ^= 64  # the first row's close
    entry.path.write_bytes(content)
    first = store.load_partial(entry, entry.layout.symbols[1:]).num_rows
    result = run(config(tmp_path / "c.json"), tmp_path / "store", tmp_path / "out", code=7)

    assert first
    assert result["failed"] == 1
    failures = ask(result["run_dir"], "select session, reason from failures")
    assert failures[0]["session"] == "2024-11-20"
    assert "damaged" in failures[0]["reason"]


def test_weekend_edges_and_missing_sessions(tmp_path, sample):
    path = config(tmp_path / "c.json", start="2024-11-30", end="2024-12-08", symbols=["SIM001"])
    result = run(path, sample, tmp_path / "out")

    rows = ask(result["run_dir"], "select session, bars, quality_pct from session_summary order by all")
    assert [row["session"] for row in rows] == ["2024-12-02", "2024-12-03", "2024-12-04", "2024-12-05", "2024-12-06"]
    assert [row["quality_pct"] for row in rows[2:]] == [0.0, 0.0, 0.0]


def test_a_dry_run_writes_nothing(tmp_path, sample):
    done = cli("run", config(tmp_path / "c.json"), "--store", sample, "--out", tmp_path / "out", "--dry-run", "--json")

    assert json.loads(done.stdout)["sessions"] == 11
    assert not (tmp_path / "out").exists()


def test_damaged_results_are_found_and_computed_again(tmp_path, sample):
    path = config(tmp_path / "c.json")
    where = RunDir(Path(run(path, sample, tmp_path / "out")["run_dir"]))
    before = tree(where.root)
    file = where.files("gaps")[0][1]
    file.write_bytes(file.read_bytes()[:-1])

    cli("verify", where.root, code=8)
    run(path, sample, tmp_path / "out")
    assert tree(where.root) == before


def test_a_small_run_imports_no_heavy_library(tmp_path, sample):
    code = (
        "import sys; sys.argv = ['backtester', 'run', *sys.argv[1:]]\n"
        "from backtester.cli import main; main()\n"
        "print(*({'numba', 'polars', 'pandas', 'duckdb'} & set(sys.modules)), file=sys.stderr)"
    )
    path = config(tmp_path / "c.json", symbols=["SIM001"], end="2024-11-20")
    words = [sys.executable, "-c", code, str(path), "--store", str(sample), "--out", str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)

    assert done.stderr.strip() == ""
