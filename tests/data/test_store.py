"""The store: additive, idempotent, verified, and indifferent to what a symbol is called."""

import datetime as dt
import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.data import durable
from backtester.data import store as stores
from backtester.data.session_file import bars_table
from backtester.data.store import Store
from backtester.errors import OutputError, OwnedError, StoreError
from backtester.interval import Interval

DAY, MINUTE = dt.date(2025, 7, 2), Interval.parse("1m")
NASTY = [
    "../x",
    "NA",
    "007",
    "BRK.A",
    "CON",
    "\N{BANK}",
    "a\0b",
    "x" * 200,
    "__HIVE_DEFAULT_PARTITION__",
    "aapl",
    "AAPL",
]

NAMES = st.sampled_from(NASTY) | st.text(min_size=1, max_size=8).filter(lambda text: text.isprintable())


def bars(symbols, minutes=4, price=10.0):
    labels = 1_751_463_000_000_000 + 60_000_000 * np.arange(minutes, dtype=np.int64)
    timestamps, codes = np.repeat(labels, len(symbols)), np.tile(np.arange(len(symbols), dtype=np.int32), minutes)
    values = price + np.arange(len(codes)) / 100.0
    table = bars_table(timestamps, codes, symbols, [values, values + 1.0, values - 1.0, values, values * 3.0])
    return table.append_column("session", pa.array([DAY] * len(codes), pa.date32()))


def add(root, table, **options):
    return Store(root).add(table, exchange="XNYS", interval=MINUTE, source={"kind": "test"}, **options)


def load(root, symbols=None):
    store = Store(root)
    return store.load(store.entry("XNYS", MINUTE, DAY), symbols)


def tree(root):
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.name != ".owner")
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_importing_twice_changes_no_byte(tmp_path):
    add(tmp_path, bars(["A", "B"]))
    before = tree(tmp_path)

    assert add(tmp_path, bars(["A", "B"])) == (0, 1, 0)
    assert tree(tmp_path) == before


def test_a_second_symbol_joins_without_loss_in_either_order(tmp_path):
    for root, order in ((tmp_path / "ab", "AB"), (tmp_path / "ba", "BA")):
        for symbol in order:
            add(root, bars([symbol], price=20.0 if symbol == "B" else 10.0))

    assert load(tmp_path / "ab").equals(load(tmp_path / "ba"))
    assert load(tmp_path / "ab", ["A"]).column("close").to_pylist() == bars(["A"]).column("close").to_pylist()


def test_two_bars_for_one_label_are_refused_unless_replaced(tmp_path):
    add(tmp_path, bars(["A"]))
    before = tree(tmp_path)

    with pytest.raises(StoreError, match="--replace"):
        add(tmp_path, bars(["A"], price=11.0))
    assert tree(tmp_path) == before
    assert add(tmp_path, bars(["A"], price=11.0), replace=True).rows == 4
    assert load(tmp_path).column("close").to_pylist() == bars(["A"], price=11.0).column("close").to_pylist()


@given(st.lists(NAMES, min_size=1, max_size=6, unique=True))
def test_any_text_is_a_symbol(tmp_path_factory, symbols):
    root = tmp_path_factory.mktemp("store")
    names = sorted(symbols)
    add(root, bars(names))

    assert set(load(root).column("symbol").to_pylist()) == set(names)
    for name in names:
        assert set(load(root, [name]).column("symbol").to_pylist()) == {name}
    assert all(path.is_relative_to(root) for path in root.rglob("*"))


def test_a_partial_load_equals_the_filtered_whole(tmp_path):
    names = [f"S{k:03d}" for k in range(60)]
    add(tmp_path, bars(names, minutes=9))
    whole = load(tmp_path).to_pylist()

    for chosen in (["S003"], ["S000", "S059"], names[::2], ["S001", "nobody"]):
        found = load(tmp_path, sorted(chosen))
        assert found.to_pylist() == [row for row in whole if row["symbol"] in chosen]
        assert found.column("symbol").chunk(0).dictionary.to_pylist() == sorted(chosen)


def test_a_load_of_symbols_without_a_row_is_empty_and_whole(tmp_path):
    add(tmp_path, bars(["A", "B"]))

    found = load(tmp_path, ["nobody"])

    assert (found.num_rows, found.column("timestamp").num_chunks) == (0, 1)
    assert found.column("symbol").chunk(0).dictionary.to_pylist() == ["nobody"]


def test_unused_dictionary_names_do_not_matter(tmp_path):
    table = bars(["A", "B"])
    only = table.filter(pa.array([symbol == "B" for symbol in table.column("symbol").to_pylist()]))

    add(tmp_path, only)

    assert set(load(tmp_path).column("symbol").to_pylist()) == {"B"}


def test_every_flipped_bit_is_noticed_or_harmless(tmp_path):
    add(tmp_path, bars(["A", "B", "C"], minutes=6))
    store = Store(tmp_path)
    entry, sound = store.entry("XNYS", MINUTE, DAY), load(tmp_path)
    random = np.random.default_rng(5)
    for path in (entry.path, entry.presence_path):
        content = path.read_bytes()
        for position in random.integers(0, len(content), 150):
            damaged = bytearray(content)
            damaged[position] ^= 1 << int(random.integers(8))
            path.write_bytes(damaged)
            for read in (store.load, lambda entry: store.load_partial(entry, ["A", "B", "C"])):
                try:
                    found = read(entry)
                except StoreError:
                    continue
                assert found.equals(sound)
        path.write_bytes(content)


def test_a_catalog_entry_is_what_was_written_or_refused(tmp_path):
    add(tmp_path, bars(["A", "B"]))
    path = Store(tmp_path).entry("XNYS", MINUTE, DAY).folder / "entry.json"
    content, random = path.read_bytes(), np.random.default_rng(6)
    others = [b"", b"null", b"3", b"[]", b"{}", b"{", b"[" * 20_000, b"\xff\xfe", content[:-2]]
    others += [content[: int(at)] for at in random.integers(0, len(content) - 1, 40)]
    for at, bit in random.integers(0, (len(content), 8), (80, 2)):
        flipped = bytearray(content)
        flipped[at] ^= 1 << bit
        others.append(bytes(flipped))

    for damaged in others:
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match="import its source again"):
            Store(tmp_path).entry("XNYS", MINUTE, DAY)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rows", "8"),
        ("rows", -1),
        ("rows", 10**12),
        ("symbols", "AB"),
        ("symbols", ["A"]),
        ("symbols", [1, 2]),
        ("symbol_rows", {"A": 4, "B": 4}),
        ("symbol_digests", None),
        ("columns", []),
        ("columns", {"close": [0, "x"]}),
        ("columns", {"close": 0}),
        ("session", "2025-07-03"),
        ("exchange", "XNAS"),
    ],
)
def test_a_forged_catalog_entry_of_wrong_values_is_refused(tmp_path, key, value):
    add(tmp_path, bars(["A", "B"]))
    path = Store(tmp_path).entry("XNYS", MINUTE, DAY).folder / "entry.json"
    found = durable.read_sealed(path, remedy="")
    path.write_bytes(durable.sealed_json({**found, key: value}))

    with pytest.raises(StoreError, match="not a catalog entry"):
        Store(tmp_path).entry("XNYS", MINUTE, DAY)


@pytest.mark.parametrize("content", [b"", b"[]", b"3", b'{"format": 2}', b'{"format": true}', b'{"format": "1"}'])
def test_a_store_of_another_format_is_refused(tmp_path, content):
    add(tmp_path, bars(["A"]))
    (tmp_path / "store.json").write_bytes(content)

    with pytest.raises(StoreError, match=r"store\.json"):
        Store(tmp_path)


@pytest.mark.parametrize("left", [0.0, 0.01, 0.3])
def test_a_file_cut_short_or_gone_is_named(tmp_path, left):
    add(tmp_path, bars(["A", "B"], minutes=30))
    store = Store(tmp_path)
    entry = store.entry("XNYS", MINUTE, DAY)
    for path in (entry.path, entry.presence_path):
        content = path.read_bytes()
        path.write_bytes(content[: int(left * len(content))])
        for read in (store.load, lambda entry: store.load_partial(entry, ["A"])):
            if path == entry.presence_path and read == store.load:
                continue  # reads no presence grid
            with pytest.raises(StoreError, match=path.name):
                read(entry)
        assert store.damage(entry)
        path.unlink()
        assert store.damage(entry)
        path.write_bytes(content)
    assert not store.damage(entry)


def test_a_damaged_presence_grid_counts_no_bars(tmp_path):
    add(tmp_path, bars(["A", "B"]))
    store = Store(tmp_path)
    entry = store.entry("XNYS", MINUTE, DAY)
    content = bytearray(entry.presence_path.read_bytes())
    content[-1] ^= 0x80
    entry.presence_path.write_bytes(content)

    with pytest.raises(StoreError, match="its digest differs"):
        store.count_bars(entry, ["A"], np.array([1_751_463_000_000_000]))


@pytest.mark.parametrize("failing", range(1, 5))
def test_an_interrupted_import_leaves_the_old_session(tmp_path, monkeypatch, failing):
    add(tmp_path, bars(["A"]))
    calls = iter(range(1, 100))

    def break_down(path, content, *, sync):
        if next(calls) == failing:
            raise OutputError("no space left")
        durable.write_whole(path, content, sync=sync)

    monkeypatch.setattr(stores, "write_whole", break_down)
    try:
        add(tmp_path, bars(["B"]))
    except OutputError:
        assert set(load(tmp_path).column("symbol").to_pylist()) == {"A"}
    monkeypatch.undo()
    add(tmp_path, bars(["B"]))
    assert set(load(tmp_path).column("symbol").to_pylist()) == {"A", "B"}
    assert len(list(tmp_path.rglob("*.parquet"))) == 1


def test_a_store_being_imported_into_has_one_owner(tmp_path):
    with durable.owned(tmp_path, "import"), pytest.raises(OwnedError, match="pid"):
        add(tmp_path, bars(["A"]))


def test_other_readers_see_the_same_bars(tmp_path):
    import duckdb
    import polars as pl

    add(tmp_path, bars(["A", "B"], minutes=30))
    path = Store(tmp_path).entry("XNYS", MINUTE, DAY).path
    ours = load(tmp_path).column("close").to_pylist()

    assert pl.read_parquet(path, glob=False)["close"].to_list() == ours
    with duckdb.connect() as connection:
        assert [
            row[0] for row in connection.execute("select close from read_parquet(?)", [str(path)]).fetchall()
        ] == ours
