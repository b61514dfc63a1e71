"""LEAN folders: scales, zones, contracts, quotes, and archives that are not what they seem."""

from __future__ import annotations

import datetime as dt
import zipfile
from pathlib import Path

import polars as pl
import pytest

from backtester.data.importers import lean
from backtester.data.importers.lean import LeanSource
from backtester.data.placing import Placing, place
from backtester.errors import InputError, UsageError
from backtester.interval import Interval
from tests.data.vendor_bars import new_york, real, real_bars

ONE_MINUTE = Interval.parse("1m")
BAR = b"34200000,6462500,6470000,6457500,6466000,661696\n"
QUOTE = b"0,1.10,1.30,1.00,1.20,5,1.20,1.50,1.10,1.40,7\n"


def write_zip(path: Path, **members: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/") + ".csv", data)
    return path


def read(source: LeanSource) -> pl.DataFrame:
    return pl.concat([rows for rows, _ in lean.read(source)])


@pytest.fixture
def equities(tmp_path):
    write_zip(tmp_path / "equity/usa/minute/aapl/20140605_trade.zip", **{"20140605_aapl_minute_trade": BAR})
    write_zip(tmp_path / "equity/usa/minute/spy/20140605_trade.zip", **{"20140605_spy_minute_trade": BAR * 2})
    write_zip(tmp_path / "equity/usa/minute/spy/20140606_trade.zip", **{"20140606_spy_minute_trade": BAR})
    return tmp_path


def test_an_equity_bar_is_scaled_exactly_and_lies_on_the_file_s_date(equities):
    rows = read(LeanSource(equities, ONE_MINUTE, symbols=("aapl",)))

    assert rows.select("open", "high", "low", "close", "volume").row(0) == (646.25, 647.0, 645.75, 646.6, 661696.0)
    assert rows["label"].to_list() == [dt.datetime(2014, 6, 5, 9, 30)]  # noqa: DTZ001
    assert rows["symbol"].to_list() == ["AAPL"]


def test_every_price_of_a_ten_thousandth_is_the_nearest_double(tmp_path):
    whole = range(99_990, 110_010)
    lines = b"".join(b"34200000,%d,%d,%d,%d,1\n" % (n, n, n, n) for n in whole)
    write_zip(tmp_path / "equity/usa/minute/a/20140605_trade.zip", x=lines)

    assert read(LeanSource(tmp_path, ONE_MINUTE))["close"].to_list() == [n / 10_000 for n in whole]


def test_rows_count_from_one_in_each_file_and_files_come_oldest_first(equities):
    parts = list(lean.read(LeanSource(equities, ONE_MINUTE)))

    (rows, files), *rest = parts
    assert not rest
    assert [file.name.split("minute/")[1] for file in files] == [
        "aapl/20140605_trade.zip",
        "spy/20140605_trade.zip",
        "spy/20140606_trade.zip",
    ]
    assert rows.select("file", "row", "symbol").rows() == [
        (0, 1, "AAPL"),
        (1, 1, "SPY"),
        (1, 2, "SPY"),
        (2, 1, "SPY"),
    ]


def test_dates_and_symbols_choose_files(equities):
    source = LeanSource(equities, ONE_MINUTE, symbols=("SPY", "AAPL"), start=dt.date(2014, 6, 6))

    assert read(source)["symbol"].to_list() == ["SPY"]


@pytest.mark.parametrize(
    ("declared", "error", "message"),
    [
        ({"symbols": ("IBM",)}, InputError, "no data for IBM; there is AAPL, SPY"),
        ({"asset_class": "crypto"}, InputError, "no folder crypto"),
        ({"market": "india"}, UsageError, "no market 'india'; there is usa"),
        ({"interval": Interval.parse("5m")}, UsageError, "1m or 1s"),
        ({"interval": Interval.parse("1s")}, InputError, "no data for anything"),
        ({"start": dt.date(2020, 1, 1)}, InputError, "no trade file from 2020-01-01"),
        ({"price": "mid"}, InputError, "no quote file"),
    ],
)
def test_what_is_not_there_is_named(equities, declared, error, message):
    with pytest.raises(error, match=message):
        read(LeanSource(**{"root": equities, "interval": ONE_MINUTE, **declared}))


@pytest.mark.parametrize(
    ("price", "bar"),
    [("bid", (1.1, 1.3, 1.0, 1.2)), ("ask", (1.2, 1.5, 1.1, 1.4)), ("mid", (1.15, 1.4, 1.05, 1.2999999999999998))],
)
def test_quotes_become_bars_of_the_side_asked_for(tmp_path, price, bar):
    write_zip(tmp_path / "forex/fxcm/minute/eurusd/20140501_quote.zip", x=QUOTE)
    source = LeanSource(tmp_path, ONE_MINUTE, asset_class="forex", price=price)

    assert read(source).select("open", "high", "low", "close", "volume").row(0) == (*bar, 0.0)
    with pytest.raises(InputError, match=r"only quotes.*--price mid"):
        read(LeanSource(tmp_path, ONE_MINUTE, asset_class="forex"))


def test_a_side_without_a_quote_is_unreadable(tmp_path):
    write_zip(tmp_path / "future/cme/minute/es/20131007_quote.zip", es_201312=b"0,,,,,0,1.2,1.5,1.1,1.4,7\n")
    source = LeanSource(tmp_path, ONE_MINUTE, asset_class="future")

    for price, unreadable in (("ask", [None]), ("mid", ["open ''"]), ("bid", ["open ''"])):
        rows = read(LeanSource(source.root, ONE_MINUTE, asset_class="future", price=price))
        assert rows["unreadable"].is_null().to_list() == [unreadable == [None]]


def test_each_contract_of_a_future_is_a_symbol_with_its_month(tmp_path):
    trade = b"0,1676.5,1676.75,1676.25,1676.5,9\n"
    contracts = {"20131007_es_minute_trade_201312": trade * 2, "20131007_es_minute_trade_201403": trade}
    write_zip(tmp_path / "future/cme/minute/es/20131007_trade.zip", **contracts)

    rows = read(LeanSource(tmp_path, ONE_MINUTE, asset_class="future"))

    assert rows.select("symbol", "row", "open").rows() == [
        ("ES201312", 1, 1676.5),
        ("ES201312", 2, 1676.5),
        ("ES201403", 1, 1676.5),
    ]


@pytest.mark.parametrize(
    ("asset_class", "market", "zone"),
    [
        ("equity", "usa", "America/New_York"),
        ("crypto", "coinbase", "UTC"),
        ("forex", "fxcm", "Etc/GMT+5"),
        ("forex", "oanda", "UTC"),
        ("cfd", "oanda", "UTC"),
        ("future", "cme", "UTC"),
        ("future", "eurex", "Europe/Berlin"),
    ],
)
def test_zones_are_those_of_the_market(tmp_path, asset_class, market, zone):
    (tmp_path / asset_class / market).mkdir(parents=True)

    assert lean.data_zone(LeanSource(tmp_path, ONE_MINUTE, asset_class=asset_class)) == zone


def test_a_market_whose_zone_is_not_on_record_asks_for_it(tmp_path):
    (tmp_path / "future" / "ice").mkdir(parents=True)

    with pytest.raises(InputError, match="declare --timezone"):
        lean.data_zone(LeanSource(tmp_path, ONE_MINUTE, asset_class="future"))


@pytest.mark.parametrize("ms", [b"-1", b"86400000", b"x", b"", b"1.5"])
def test_milliseconds_beyond_a_day_are_no_time(tmp_path, ms):
    write_zip(tmp_path / "equity/usa/minute/a/20140605_trade.zip", x=ms + BAR[8:])

    assert read(LeanSource(tmp_path, ONE_MINUTE))["label"].to_list() == [None]


def test_a_faulty_line_among_many_files_is_named(equities):
    write_zip(equities / "equity/usa/minute/spy/20140606_trade.zip", x=BAR + b"34260000,1,2\n" + BAR)

    with pytest.raises(InputError, match=r"spy/20140606_trade\.zip: line 2 is '34260000,1,2'; expected 6 fields"):
        read(LeanSource(equities, ONE_MINUTE))


@pytest.mark.parametrize(
    ("members", "message"),
    [({}, "0 files in the zip"), ({"a": BAR, "b": BAR}, "2 files in the zip"), ({"a": b""}, "no row of data")],
)
def test_an_equity_zip_holds_one_file_with_rows(tmp_path, members, message):
    write_zip(tmp_path / "equity/usa/minute/a/20140605_trade.zip", **members)

    with pytest.raises(InputError, match=message):
        read(LeanSource(tmp_path, ONE_MINUTE))


@pytest.mark.parametrize("inside", ["..__..__..__evil", "__etc__passwd", "C:\\evil"])
def test_a_path_inside_a_zip_is_never_used(tmp_path, inside):
    write_zip(tmp_path / "equity/usa/minute/a/20140605_trade.zip", **{inside: BAR})
    before = sorted(tmp_path.parent.rglob("*"))

    assert read(LeanSource(tmp_path, ONE_MINUTE)).height == 1
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_a_zip_bomb_is_refused(tmp_path):
    path = write_zip(tmp_path / "equity/usa/minute/a/20140605_trade.zip", x=b"0" * (300 << 20))

    assert path.stat().st_size < 1 << 20
    with pytest.raises(InputError, match="decompresses to more than"):
        read(LeanSource(tmp_path, ONE_MINUTE))


@pytest.mark.parametrize("damage", ["cut", "flip", "text"])
def test_a_damaged_zip_is_refused(tmp_path, damage):
    path = write_zip(tmp_path / "equity/usa/minute/a/20140605_trade.zip", x=BAR * 50)
    raw = bytearray(path.read_bytes())
    raw[45] ^= 0xFF
    path.write_bytes({"cut": bytes(raw[:60]), "flip": bytes(raw), "text": b"not a zip"}[damage])

    with pytest.raises(InputError, match=r"20140605_trade\.zip: not a zip"):
        read(LeanSource(tmp_path, ONE_MINUTE))


def test_a_zip_whose_directory_lies_is_refused(tmp_path):
    path = write_zip(tmp_path / "equity/usa/minute/a/20140605_trade.zip", x=BAR)
    raw = bytearray(path.read_bytes())
    del raw[:20]
    path.write_bytes(bytes(raw))

    with pytest.raises(InputError, match="not a zip that can be read"):
        read(LeanSource(tmp_path, ONE_MINUTE))


def test_only_deflated_zips_are_read(tmp_path):
    path = tmp_path / "equity/usa/minute/a/20140605_trade.zip"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.csv", BAR)

    with pytest.raises(InputError, match="compressed by method 14; expected deflate"):
        read(LeanSource(tmp_path, ONE_MINUTE))


def test_an_encrypted_zip_is_refused(tmp_path):
    path = write_zip(tmp_path / "equity/usa/minute/a/20140605_trade.zip", x=BAR)
    raw = bytearray(path.read_bytes())
    raw[6] |= 1
    raw[raw.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(raw))

    with pytest.raises(InputError, match="not a zip that can be read"):
        read(LeanSource(tmp_path, ONE_MINUTE))


def test_a_zip_with_many_members_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("backtester.data.importers.containers.MAX_MEMBERS", 2)
    members = {f"20131007_es_minute_trade_20131{k}": BAR for k in range(3)}
    write_zip(tmp_path / "future/cme/minute/es/20131007_trade.zip", **members)

    with pytest.raises(InputError, match="3 members in one zip"):
        read(LeanSource(tmp_path, ONE_MINUTE, asset_class="future"))


def test_real_spy_opens_with_the_burst_at_half_past_nine():
    bars = real_bars("lean").filter(pl.col("symbol") == "SPY")
    clock = pl.Series(new_york(bars["timestamp"]))

    first = bars.filter(clock == "2013-10-07 09:30")
    before = bars.filter(clock == "2013-10-07 09:29")
    assert first["open"].item() == 167.43
    assert first["volume"].item() > 5 * before["volume"].item()


@pytest.mark.parametrize(
    ("asset_class", "price", "instant"),
    [
        # US payrolls of 2014-05-02, 08:30 New York: the widest minute of the file.
        ("forex", "mid", dt.datetime(2014, 5, 2, 12, 30, tzinfo=dt.UTC)),
        # US jobless claims of 2014-05-01, 08:30 New York.
        ("cfd", "mid", dt.datetime(2014, 5, 1, 12, 30, tzinfo=dt.UTC)),
    ],
)
def test_real_quotes_move_when_the_news_came(asset_class, price, instant):
    source = LeanSource(real("lean"), ONE_MINUTE, asset_class=asset_class, price=price)
    placing = Placing(ONE_MINUTE, zone=lean.data_zone(source))
    rows = pl.concat([place(rows, placing, place="zip")[0] for rows, _ in lean.read(source)])

    widest = rows.sort(pl.col("high") - pl.col("low"), descending=True).head(1)
    assert widest["timestamp"].to_list() == [instant]


def test_real_es_is_busiest_into_the_cash_close():
    bars = real_bars("future").filter(pl.col("symbol") == "ES201312").sort("volume", descending=True)

    assert new_york(bars["timestamp"].head(2)) == ["2013-10-08 15:59", "2013-10-08 16:00"]


def test_a_group_of_files_is_the_same_as_the_files_alone(equities, monkeypatch):
    together = read(LeanSource(equities, ONE_MINUTE))
    monkeypatch.setattr(lean, "GROUP_BYTES", 0)
    alone = read(LeanSource(equities, ONE_MINUTE))

    assert alone.drop("file").equals(together.drop("file"))
