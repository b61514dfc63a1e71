"""Text tables: every vendor's header, every way a table can be wrong, and nothing inferred."""

from __future__ import annotations

import gzip

import polars as pl
import pytest

from backtester.data.importers import containers, csv
from backtester.data.importers.layout import Layout, load_layout, parse_columns
from backtester.data.importers.rows import Naming
from backtester.errors import ConfigError, InputError
from tests.data.vendor_bars import POSITIONS, REAL

BAR = (10.0, 12.5, 9.5, 11.0, 700.0)
NUMBERS = ("open", "high", "low", "close", "volume")


def rows_of(text: str | bytes, layout: Layout | None = None, *, symbol: str | None = "AAA") -> pl.DataFrame:
    data = text.encode() if isinstance(text, str) else text
    return pl.concat(csv.table_to_rows(data, layout or Layout(), symbol=symbol, place="vendor.csv"))


def bar_of(rows: pl.DataFrame) -> tuple[float, ...]:
    return rows.select(NUMBERS).row(0)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("timestamp,open,high,low,close,volume", "T,10,12.5,9.5,11,700"),
        ("Datetime,Close,High,Low,Open,Volume", "T,11,12.5,9.5,10,700"),
        ("Date,Open,Close,High,Low,Volume", "T,10,11,12.5,9.5,700"),
        ("date;timestamp;close;high;low;open;price;volume", "x;T;11;12.5;9.5;10;10.7;700"),
        ("date,open,high,low,close,volume,average,barCount", "T,10,12.5,9.5,11,700,10.9,3"),
        ("timestamp_utc,open,high,low,close,volume", "T,10,12.5,9.5,11,700"),
        ("<TICKER>,<DTYYYYMMDD>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>", "A,x,T,10,12.5,9.5,11,700"),
        (",Open,High,Low,Close,Volume", "T,10,12.5,9.5,11,700"),
        ("t|o|h|l|c|v", "T|10|12.5|9.5|11|700"),
        ("Open\tHigh\tLow\tClose\tVolume\tDate", "10\t12.5\t9.5\t11\t700\tT"),
    ],
)
def test_known_headers_are_read_by_name_in_any_order(header, row):
    symbol = None if "TICKER" in header else "AAA"

    rows = rows_of(f"{header}\n{row}\n", symbol=symbol)

    assert bar_of(rows) == BAR
    assert rows["label"].to_list() == ["T"]


def test_date_and_time_in_two_columns_are_joined():
    rows = rows_of("Date,Time,Open,High,Low,Close,Volume\n2024-01-02,09:30,10,12.5,9.5,11,700\n")

    assert rows["label"].to_list() == ["2024-01-02 09:30"]


def test_a_timestamp_column_wins_over_date_and_derived_ones():
    header = "timestamp,timestamp_str,timestamp_utc,timestamp_et,time_et,hour_et,minute_et,open,high,low,close,volume"

    assert rows_of(f"{header}\nT,a,b,c,d,e,f,10,12.5,9.5,11,700\n")["label"].to_list() == ["T"]


def test_symbols_are_text_whatever_they_look_like():
    names = ["NA", "007", "1E5", "TRUE", "nan", "null", "BRK.B", " spaced "]
    lines = "\n".join(f"{name},1,1,1,1,1,1381132800000000000" for name in names)

    rows = rows_of(f"ticker,volume,open,close,high,low,window_start\n{lines}\n", symbol=None)

    assert rows["symbol"].to_list() == names


def test_symbols_are_normalised_and_otherwise_kept():
    rows = rows_of("symbol,t,o,h,l,c,v\nCafe\u0301,T,1,1,1,1,1\n", symbol=None)

    assert rows["symbol"].to_list() == ["Caf\u00e9"]


def test_a_declared_column_wins_and_the_rest_is_recognised():
    layout = Layout(columns=parse_columns("symbol=instrument_id"), symbols={"1001": "AIG"}, price_scale=1e9)
    text = "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume\n1,33,0,1001,48870000000,49,1,1,5\n"

    rows = rows_of(text, layout, symbol=None)

    assert rows["symbol"].to_list() == ["AIG"]
    assert rows["open"].to_list() == [48.87]


def test_scaled_prices_are_the_nearest_doubles():
    whole = range(1, 200_000, 7)
    text = "t,o,h,l,c,v\n" + "".join(f"T,{n},{n},{n},{n},1\n" for n in whole)

    assert rows_of(text, Layout(price_scale=10_000.0))["open"].to_list() == [n / 10_000 for n in whole]


def test_the_largest_integer_of_fixed_point_vendors_is_no_price():
    rows = rows_of("t,o,h,l,c,v\nT,1,9223372036854775807,1,1,1\n", Layout(price_scale=1e9))

    assert rows["unreadable"].to_list() == ["high '9223372036854775807'"]


def test_a_table_without_header_is_given_by_position():
    layout = Layout(header=False, columns=parse_columns(POSITIONS))

    rows = rows_of("20110103 090100;10;12.5;9.5;11;700\n", layout)

    assert (bar_of(rows), rows["row"].to_list()) == (BAR, [1])


def test_positions_reach_fields_the_header_forgets():
    layout = Layout(columns=parse_columns("timestamp=1+2,open=3,high=4,low=5,close=6,volume=7"))

    rows = rows_of("Date,Open,High,Low,Close,Volume,OpenInterest\n2006-01-02,09:01:00,10,12.5,9.5,11,700,0\n", layout)

    assert (bar_of(rows), rows["label"].to_list()) == (BAR, ["2006-01-02 09:01:00"])


def test_a_header_shorter_than_its_rows_is_refused_with_the_remedy():
    with pytest.raises(InputError, match=r"vendor\.csv: the header has 6 names, row 2 has 7 fields.*by position"):
        rows_of("Date,Open,High,Low,Close,Volume\n2006-01-02,09:01:00,10,12.5,9.5,11,700\n")


def test_a_missing_volume_has_to_be_declared():
    text = "timestamp,open,high,low,close\nT,10,12.5,9.5,11\n"

    with pytest.raises(InputError, match=r"no volume column.*--no-volume"):
        rows_of(text)
    assert bar_of(rows_of(text, Layout(volume=False))) == (*BAR[:4], 0.0)


def test_a_volume_column_contradicts_no_volume():
    with pytest.raises(InputError, match="there is a volume column"):
        rows_of("t,o,h,l,c,v\nT,1,1,1,1,1\n", Layout(volume=False))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no row of data"),
        ("t,o,h,l,c,v\n", "no row of data"),
        ("a,b,x,d,e,volume\nT,1,1,1,1,1\n", "no column for timestamp, open, high, low, close among 'a', 'b'"),
        ("1637971200000,1,1,1,1,1\n1637971260000,1,1,1,1,1\n", "--no-header"),
        ("t,open,Open,h,l,c,v\nT,1,1,1,1,1,1\n", "2 columns are named 'open'"),
        ("just words\nmore words\n", "1 columns by ','"),
        (b"\xff\xfet\x00,\x00", "UTF-16"),
        (b"PAR1\x00\x00,\n", "not a text file"),
        (b"t,o,h,l,c,\xffv\nT,1,1,1,1,1\n", "not UTF-8 text"),
        (b"t,o,h,l,c,v\n\xff,1,1,1,1,1\n", "not UTF-8|invalid UTF8"),
    ],
)
def test_what_is_no_table_of_bars_is_refused_by_name(text, message):
    with pytest.raises(InputError, match=rf"vendor\.csv: (.*{message})"):
        rows_of(text)


def test_a_symbol_is_needed_once_and_not_twice():
    with pytest.raises(InputError, match="nothing tells the symbol"):
        rows_of("t,o,h,l,c,v\nT,1,1,1,1,1\n", symbol=None)
    with pytest.raises(InputError, match="has a symbol column"):
        rows_of("symbol,t,o,h,l,c,v\nX,T,1,1,1,1,1\n", symbol="AAA")


def test_bom_crlf_blank_lines_and_spaces_are_no_obstacle():
    rows = rows_of(b"\xef\xbb\xbft,o,h,l,c,v\r\n\r\nT, 10,12.5 ,9.5,11,700\r\n\r\n")

    assert bar_of(rows) == BAR


@pytest.mark.parametrize("value", ["12,5", "1_000", "0x10", "", "-", "1.2.3"])
def test_numbers_that_do_not_read_are_kept_as_text(value):
    rows = rows_of(f't,o,h,l,c,v\nT,1,"{value}",1,1,1\n')

    assert rows["unreadable"].to_list() == [f"high '{value}'"]
    assert rows["high"].to_list() == [None]


def test_lines_with_a_wrong_number_of_fields_keep_their_place():
    rows = rows_of("t,o,h,l,c,v\nT,1,1,1,1,1\nT,1,1\nT,2,2,2,2,2\nT,1,1,1,1,1,1,1\n")

    assert rows["row"].to_list() == [2, 3, 4, 5]
    assert rows["unreadable"].to_list() == [None, "line 'T,1,1'", None, "line 'T,1,1,1,1,1,1,1'"]


def test_a_line_that_is_no_text_is_named_even_if_its_fields_are_too_few():
    with pytest.raises(InputError, match=r"vendor\.csv: line 3 is not UTF-8 text"):
        rows_of(b"t,o,h,l,c,v\nT,1,1,1,1,1\nT,\xff\nT,2,2,2,2,2\n")


def test_newest_first_turns_the_rows_round_and_keeps_their_numbers():
    rows = rows_of("t,o,h,l,c,v\nB,2,2,2,2,2\nA,1,1,1,1,1\n", Layout(newest_first=True))

    assert (rows["label"].to_list(), rows["row"].to_list()) == (["A", "B"], [3, 2])


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("size", [1, 40, 100])
def test_a_large_file_is_the_same_in_pieces(monkeypatch, size, newest_first):
    lines = [f"T{k},1,1,1,1,{k}" if k % 7 else f"T{k},1" for k in range(1, 40)]
    text, layout = "t,o,h,l,c,v\n" + "\n".join(lines), Layout(newest_first=newest_first)
    whole = rows_of(text, layout)

    monkeypatch.setattr(csv, "PIECE_BYTES", size)

    assert rows_of(text, layout).equals(whole)


def test_a_folder_is_read_in_order_and_gzip_without_asking(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two.csv.gz").write_bytes(gzip.compress(b"t,o,h,l,c,v\nT,2,2,2,2,2\n"))
    (tmp_path / "a.csv").write_text("t,o,h,l,c,v\nT,1,1,1,1,1\n")
    (tmp_path / ".hidden.csv").write_text("x")
    (tmp_path / "readme.md").write_text("x")

    read = [(files[0].name, rows["open"][0]) for rows, files in csv.read((tmp_path,), Layout(), Naming("AAA"))]

    assert read == [("a.csv", 1.0), ("b/two.csv.gz", 2.0)]


@pytest.mark.parametrize(
    ("pattern", "path", "symbol"),
    [("*.csv", "x/AAPL.csv", "AAPL"), ("*_1m.csv", "AAPL_1m.csv", "AAPL"), ("*/2024.csv", "usd/AZO/2024.csv", "AZO")],
)
def test_symbols_come_from_the_path_by_pattern(pattern, path, symbol):
    assert Naming(pattern=pattern).of(path) == symbol


@pytest.mark.parametrize("pattern", ["*.txt", "AAPL.csv", "*/*.csv"])
def test_a_pattern_that_does_not_fit_is_refused(pattern):
    with pytest.raises(InputError, match="--symbol-from"):
        Naming(pattern=pattern).of("x/AAPL.csv")


def test_a_gzip_bomb_is_refused_before_it_fills_memory(tmp_path):
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(b"0" * (200 << 20)))

    with pytest.raises(InputError, match="decompresses to more than 100 times its size"):
        containers.read_content("bomb.csv.gz", path)


@pytest.mark.parametrize("cut", [2, 10, 40, -1])
def test_a_truncated_gzip_is_refused(tmp_path, cut):
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(gzip.compress(b"t,o,h,l,c,v\n" + b"T,1,2,3,4,5\n" * 100)[:cut])

    with pytest.raises(InputError, match="gzip"):
        containers.read_content("cut.csv.gz", path)


def test_gzip_members_one_after_the_other_are_one_file(tmp_path):
    path = tmp_path / "two.csv.gz"
    path.write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n"))

    assert containers.read_content("two.csv.gz", path).data == b"one\ntwo\n"


@pytest.mark.parametrize("text", ["open", "open=", "bid=1", "open=1,open=2"])
def test_columns_that_name_no_field_are_refused(text):
    if text == "open=":
        assert parse_columns(text) == {"open": ("",)}
        return
    with pytest.raises(ConfigError, match="field=column"):
        parse_columns(text)


@pytest.mark.parametrize(
    "declared",
    [{"price_scale": value} for value in (0.0, -1.0, float("nan"), float("inf"))]
    + [{"delimiter": text} for text in (";;", "", '"', "\n")],
)
def test_scales_and_delimiters_that_cannot_be_are_refused(declared):
    with pytest.raises(ConfigError, match=r"price_scale is|delimiter is"):
        Layout(**declared)


def test_a_map_file_says_the_same_as_the_options(tmp_path):
    path = tmp_path / "vendor.toml"
    path.write_text('price_scale = 10000\nheader = false\n[columns]\ntimestamp = ["1", "2"]\nopen = "3"\n')

    settings = load_layout(path)

    assert settings == {
        "price_scale": 10000.0,
        "header": False,
        "columns": {"timestamp": ("1", "2"), "open": ("3",)},
    }


def test_a_map_file_is_strict_and_names_every_fault(tmp_path):
    path = tmp_path / "vendor.toml"
    path.write_text('zone = "UTC"\nprice_scale = true\nheader = "no"\n[columns]\nbid = "x"\n[symbols]\n1 = 2\n')

    with pytest.raises(ConfigError) as caught:
        load_layout(path)

    for fault in ("unknown key 'zone'", "price_scale is True", "header is 'no'", "columns.bid", "symbols.1 is 2"):
        assert fault in str(caught.value)


@pytest.mark.skipif(not REAL.exists(), reason="no real vendor files here")
@pytest.mark.parametrize(
    ("path", "rows"),
    [
        ("mismartera/bars_dump_AAPL_2025-07-02.csv", 862),
        ("us_equity_2024_1m_mit/stocks/ohlc/usd/1min/AZO/2024.csv", 25_833),
        ("us_equity_2025_1m_ext/2025-01/AAPL.csv", 14_885),
        ("us_equity_2026_1m_yahoo/CFLT.csv", 2_250),
        ("yfinance_csv_2026-03/SPY_1m.csv", 2_427),
        ("ibkr_aapl_1d/AAPL_1min.csv", 960),
        ("mplfinance_spx_2019/SP500_NOV2019_IDay.csv", 1_563),
        ("nautilus/xcme/6EH4.XCME_1min_bars_20240101_20240131.csv.gz", 29_996),
        ("nautilus/btc-perp-20211231-20220201_1m.csv", 45_031),
    ],
)
def test_real_headers_are_read_without_a_map(path, rows):
    read = [frame for frame, _ in csv.read((REAL / path,), Layout(), Naming("AAA"))]

    assert [frame.height for frame in read] == [rows]
    assert read[0].select(*NUMBERS, "label").null_count().row(0) == (0,) * 6
