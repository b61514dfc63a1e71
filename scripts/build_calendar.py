"""Rebuild the packaged calendar from exchange_calendars; the only place in the project that uses pandas.

    python scripts/build_calendar.py                      write backtester/data/calendar.parquet and exchanges.json
    python scripts/build_calendar.py --last 2028-12-31    the same, reaching further
    python scripts/build_calendar.py --check              build, compare with the packaged files, write nothing
    python scripts/build_calendar.py --compare            print the table of differences that docs/calendar.md explains

The same versions of exchange_calendars, pandas, pyarrow and tzdata give the same bytes: no clock is read.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import click
import exchange_calendars as ec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from exchange_calendars.calendar_utils import global_calendar_dispatcher

DATA = Path(__file__).resolve().parent.parent / "backtester" / "data"
TABLE, INDEX = DATA / "calendar.parquet", DATA / "exchanges.json"

FIRST = dt.date(2000, 1, 1)
# Most calendars are rules without an end; a year past the release is as far as announced holidays can be trusted.
LAST = dt.date(2027, 12, 31)

INSTANT = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        pa.field("exchange", pa.string(), nullable=False),
        pa.field("session", pa.date32(), nullable=False),
        pa.field("open", INSTANT, nullable=False),
        pa.field("close", INSTANT, nullable=False),
        pa.field("break_start", INSTANT),  # null: the session has no break
        pa.field("break_end", INSTANT),
        pa.field("is_early_close", pa.bool_(), nullable=False),
    ]
)

# exchange_calendars 4.13 under pandas 3.1: three calendars lose sessions without a word or refuse to build because
# pandas no longer calls their offsets, and four cannot place Orthodox Easter. pandas 2.3 and 3.0 agree on all 71.
NEED_OLDER_PANDAS = ("ASEX", "XBEL", "XBOM", "XBSE", "XCYS", "XMOS", "XTAE")

# The exchanges that pandas_market_calendars describes by itself; its other calendars with an exchange's code are
# exchange_calendars again, behind another name. CMES and CME Globex Equity are the nearest to each other.
INDEPENDENT = {
    "BVMF": "B3",
    "CMES": "CME Globex Equity",
    "IEPA": "ICE",
    "XASX": "ASX",
    "XBOM": "BSE",
    "XCBF": "CFE",
    "XEUR": "EUREX",
    "XHKG": "HKEX",
    "XLON": "LSE",
    "XNYS": "NYSE",
    "XOSL": "OSE",
    "XSHG": "SSE",
    "XSWX": "SIX",
    "XTAE": "TASE",
    "XTKS": "JPX",
    "XTSE": "TSX",
}


class Difference(NamedTuple):
    """Sessions of one exchange that two sources describe differently in the same way; times are local.

    kind: `extra` (only packaged), `missing` (only in pandas_market_calendars), `open`, `close` or `break`.
    """

    exchange: str
    kind: str
    packaged: str
    other: str
    sessions: int
    first: dt.date
    last: dt.date

    def markdown(self) -> str:
        """The row of docs/calendar.md, its reason still to be written."""
        cells = (*self[:4], self.sessions, self.first, self.last)
        return "| " + " | ".join(str(cell) for cell in cells) + " |"


def pandas_is_fit() -> bool:
    """True if exchange_calendars keeps its special Saturday sessions under the pandas installed here."""
    return bool(
        schedule("XBOM", dt.date(2024, 1, 1), dt.date(2024, 12, 31)).index.isin([pd.Timestamp("2024-01-20")]).any()
    )


def bounds(exchange: str, last: dt.date) -> tuple[dt.date, dt.date]:
    """The dates the table covers: FIRST to `last`, less where exchange_calendars itself knows less."""
    factory = global_calendar_dispatcher._calendar_factories[exchange]  # noqa: SLF001, no public way to the class
    lowest, highest = factory.bound_min(), factory.bound_max()
    first = FIRST if lowest is None else max(FIRST, lowest.date())
    return first, last if highest is None else min(last, highest.date())


def schedule(exchange: str, first: dt.date, last: dt.date) -> pd.DataFrame:
    """Open, close and break of each session, indexed by naive session label, with a column is_early_close."""
    calendar = ec.get_calendar(exchange, start=pd.Timestamp(first), end=pd.Timestamp(last))
    frame = calendar.schedule.copy()
    frame["is_early_close"] = frame.index.isin(calendar.early_closes)
    return frame


def session_table(exchange: str, first: dt.date, last: dt.date) -> pa.Table:
    """The sessions of one exchange in the shape of SCHEMA."""
    frame = schedule(exchange, first, last)
    columns = {
        "exchange": pa.array([exchange] * len(frame), pa.string()),
        "session": pa.array(frame.index.date, pa.date32()),
        "is_early_close": pa.array(frame["is_early_close"].to_numpy(), pa.bool_()),
    }
    for name in ("open", "close", "break_start", "break_end"):
        columns[name] = pa.Array.from_pandas(frame[name]).cast(INSTANT)
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def build(last: dt.date) -> tuple[list[pa.Table], list[dict[str, Any]]]:
    """A table and an index entry for every exchange, sorted by name."""
    tables, entries = [], []
    for exchange in sorted(ec.get_calendar_names(include_aliases=False)):
        first_known, last_known = bounds(exchange, last)
        tables.append(session_table(exchange, first_known, last_known))
        aliases = sorted(alias for alias, name in global_calendar_dispatcher._aliases.items() if name == exchange)  # noqa: SLF001
        entries.append(
            {
                "name": exchange,
                "zone": str(
                    ec.get_calendar(exchange, start=pd.Timestamp(first_known), end=pd.Timestamp(last_known)).tz
                ),
                "first": first_known.isoformat(),
                "last": last_known.isoformat(),
                "aliases": aliases,
            }
        )
        click.echo(f"{exchange}: {len(tables[-1])} sessions, {first_known} to {last_known}", err=True)
    return tables, entries


def write_table(tables: list[pa.Table], path: Path) -> None:
    """One row group per exchange, in the order of the index, so that reading one exchange reads nothing else."""
    # Opens and closes are steps of a day: delta encoding, then zstd, gives about one byte per session.
    instants = dict.fromkeys(["session", "open", "close", "break_start", "break_end"], "DELTA_BINARY_PACKED")
    with pq.ParquetWriter(
        path,
        SCHEMA,
        compression="zstd",
        compression_level=19,
        use_dictionary=["exchange"],
        column_encoding=instants,
        write_statistics=["exchange"],
        store_schema=False,
    ) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=len(table))


def index_text(entries: list[dict[str, Any]]) -> str:
    """The index as JSON with one exchange a line, so that a diff shows which one moved."""
    lines = ",\n".join("    " + json.dumps(entry) for entry in entries)
    return f'{{\n  "source": "exchange_calendars {ec.__version__}",\n  "exchanges": [\n{lines}\n  ]\n}}\n'


def check(tables: list[pa.Table], entries: list[dict[str, Any]]) -> list[str]:
    """What the packaged files say differently, one line each."""
    found = [] if INDEX.read_text() == index_text(entries) else [f"{INDEX.name} differs"]
    packaged = pq.ParquetFile(TABLE)
    if packaged.num_row_groups != len(tables):
        return [*found, f"{TABLE.name} holds {packaged.num_row_groups} exchanges, expected {len(tables)}"]
    for number, table in enumerate(tables):
        if not packaged.read_row_group(number).equals(table):
            found.append(f"{TABLE.name}: {entries[number]['name']} differs")
    return found


def compare(exchange: str, packaged: pa.Table, last: dt.date) -> list[Difference]:
    """Where pandas_market_calendars differs from the packaged sessions of `exchange`, by kind and pair of times."""
    import pandas_market_calendars as mcal  # here, so that building needs one library less

    calendar = mcal.get_calendar(INDEPENDENT[exchange])
    renamed = {"market_open": "open", "market_close": "close"}
    theirs = _local_times(calendar.schedule(FIRST, last).rename(columns=renamed), str(calendar.tz))
    frame = packaged.drop_columns(["exchange", "is_early_close"]).to_pandas()
    ours = _local_times(frame.set_index(pd.DatetimeIndex(frame.pop("session"))), str(calendar.tz))
    extra, missing = ours.index.difference(theirs.index), theirs.index.difference(ours.index)
    groups = {("extra", "", ""): list(extra), ("missing", "", ""): list(missing)}
    both = ours.index.intersection(theirs.index)
    for kind in ("open", "close", "break"):
        pairs = pd.DataFrame({"ours": ours.loc[both, kind], "theirs": theirs.loc[both, kind]})
        for session, mine, other in pairs[pairs["ours"] != pairs["theirs"]].itertuples():
            groups.setdefault((kind, _shown(kind, mine), _shown(kind, other)), []).append(session)
    return [Difference(exchange, *key, len(s), s[0].date(), s[-1].date()) for key, s in groups.items() if s]


def _local_times(frame: pd.DataFrame, zone: str) -> pd.DataFrame:
    """Open and close as minutes of the local day, the break as both in one number; -1 where there is no break."""
    clocks = {name: frame[name].dt.tz_convert(zone).dt for name in frame.columns}
    minutes = {name: clock.hour * 60 + clock.minute for name, clock in clocks.items()}
    breaks = pd.Series(-1, index=frame.index)
    if "break_start" in minutes:
        is_there = frame["break_start"].notna() & (frame["break_start"] != frame["break_end"])
        breaks = (minutes["break_start"] * 1440 + minutes["break_end"]).where(is_there, -1)
    return pd.DataFrame({"open": minutes["open"], "close": minutes["close"], "break": breaks.astype(int)})


def _shown(kind: str, minutes: int) -> str:
    """What _local_times holds, as `09:30`, `12:00-13:00` or `none`."""
    if minutes < 0:
        return "none"
    if kind == "break":
        return f"{_shown('open', minutes // 1440)}-{_shown('close', minutes % 1440)}"
    return f"{minutes // 60:02}:{minutes % 60:02}"


@click.command(help=__doc__)
@click.option(
    "--last", default=LAST.isoformat(), show_default=True, help="Reach to this date where no rule ends earlier."
)
@click.option("--check", "is_check", is_flag=True, help="Compare with the packaged files instead of writing them.")
@click.option("--compare", "is_compare", is_flag=True, help="List differences from pandas_market_calendars and stop.")
def main(last: str, is_check: bool, is_compare: bool) -> None:
    """Build, then write, check or compare."""
    warnings.simplefilter("ignore")
    if not pandas_is_fit():
        sys.exit(
            f"pandas {pd.__version__}: exchange_calendars {ec.__version__} loses sessions with it; install 'pandas<3.1'"
        )
    tables, entries = build(dt.date.fromisoformat(last))
    if is_compare:
        for table, entry in zip(tables, entries, strict=True):
            if entry["name"] in INDEPENDENT:
                for found in compare(entry["name"], table, dt.date.fromisoformat(entry["last"])):
                    click.echo(found.markdown())
    elif is_check:
        found_lines = check(tables, entries)
        sys.exit("\n".join(found_lines) if found_lines else 0)
    else:
        write_table(tables, TABLE)
        INDEX.write_text(index_text(entries), encoding="utf-8")


if __name__ == "__main__":
    main()
