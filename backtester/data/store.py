"""The store of source bars: one Parquet file per exchange, interval and session, and the catalog that vouches for it.

    STORE/store.json
    STORE/bars/exchange=XNYS/interval=1m/session=2025-07-02/
        entry.json                the catalog entry: which file holds, its rows, digests, symbols and sources
        bars-<digest>.parquet     sorted by (timestamp, symbol), unique
        bars-<digest>.presence    one bit per label and symbol, see session_file.py
    STORE/quarantine/exchange=XNYS/interval=1m/<digest>.parquet

A session changes by writing new files and then replacing its entry: readers follow entries, so they see the old session
or the new one. Names on disk carry exchanges and intervals only; a symbol is data, never a path.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from backtester.arrays import Bool, Float64, Int32, Int64
from backtester.data.columns import dictionary, flags, text, view_of
from backtester.data.durable import (
    canonical_json,
    owned,
    read_sealed,
    sealed_json,
    sha256,
    sha256_of,
    sweep_temporaries,
    write_whole,
)
from backtester.data.session_file import COLUMNS, Layout, bars_table, encode, read_all, read_presence, read_symbols
from backtester.errors import StoreError
from backtester.interval import Interval
from backtester.schema import BARS, QUARANTINE

FORMAT = 1
REMEDY = "import its source again"
# A partial read touches the chosen rows of every page; from this share of the symbols on, reading it all is faster.
PARTIAL_SHARE = 0.1


class Added(NamedTuple):
    """What an import changed."""

    sessions: int  # written
    unchanged: int  # already held every row
    rows: int  # new or replaced


@dataclass(frozen=True)
class Entry:
    """The catalog entry of one session."""

    exchange: str
    interval: str
    session: date
    folder: Path
    digest: str  # sha256 of the Parquet file
    size: int
    sources: list[dict[str, Any]]
    layout: Layout

    @property
    def path(self) -> Path:
        """The Parquet file."""
        return self.folder / f"bars-{self.digest[:16]}.parquet"

    @property
    def presence_path(self) -> Path:
        """The presence grid beside it."""
        return self.path.with_suffix(".presence")

    @cached_property
    def digest_of(self) -> dict[str, str]:
        """Each symbol's digest: what a run's input consists of, whatever else shares the session."""
        return dict(zip(self.layout.symbols, self.layout.symbol_digests, strict=True))


@dataclass(frozen=True)
class Store:
    """A directory of source bars; `root` is an earlier store, an empty directory or none yet."""

    root: Path
    _entries: dict[Path, Entry | None] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        """StoreError if `root` is something else than a store of this format."""
        path = self.root / "store.json"
        if path.is_file():
            _require_format(path)
        elif self.root.exists() and any(p.name != ".owner" for p in self.root.iterdir()):
            raise StoreError(f"{self.root} is neither a store nor empty; name a new directory or one made by `import`")

    def exists(self) -> bool:
        """True once something has been imported."""
        return (self.root / "store.json").is_file()

    def exchanges(self) -> list[str]:
        """The exchanges with bars, sorted."""
        return sorted(unquote(path.name.partition("=")[2]) for path in (self.root / "bars").glob("exchange=*"))

    def intervals(self, exchange: str) -> list[Interval]:
        """The intervals stored for an exchange, from narrow to wide."""
        folders = (self.root / "bars" / f"exchange={quote(exchange, safe='')}").glob("interval=*")
        return sorted(Interval.parse(path.name.partition("=")[2]) for path in folders)

    def sessions(self, exchange: str, interval: Interval) -> list[date]:
        """The stored sessions, in order."""
        folders = self._folder(exchange, interval).glob("session=*/entry.json")
        return sorted(date.fromisoformat(path.parent.name.partition("=")[2]) for path in folders)

    def entry(self, exchange: str, interval: Interval, session: date) -> Entry | None:
        """The catalog entry of a session, None if nothing is stored; StoreError if it is torn."""
        folder = self._folder(exchange, interval) / f"session={session.isoformat()}"
        if folder not in self._entries:
            self._entries[folder] = _read_entry(folder, exchange, interval, session)
        return self._entries[folder]

    def load(self, entry: Entry, symbols: list[str] | None = None) -> pa.Table:
        """One session as BARS, sorted by (timestamp, symbol), every byte verified.

        symbols  sorted; they become the table's dictionary, with or without rows. None takes the file's.
        """
        layout = entry.layout
        if symbols is None or symbols == layout.symbols:
            return read_all(entry.path, entry.presence_path, layout)
        if len(symbols) <= PARTIAL_SHARE * len(layout.symbols):
            return self.load_partial(entry, symbols)
        return _with_dictionary(read_all(entry.path, entry.presence_path, layout), symbols)

    def load_partial(self, entry: Entry, symbols: list[str]) -> pa.Table:
        """The same as `load`, touching no other symbol's rows, whose damage then does not matter."""
        held = sorted(set(symbols) & set(entry.layout.symbols))
        table = read_symbols(entry.path, entry.presence_path, entry.layout, held)
        return table if held == symbols else _with_dictionary(table, symbols)

    def count_bars(self, entry: Entry, symbols: list[str], labels: Int64) -> Int32:
        """How many of `labels` (sorted) each symbol has a bar at, from the presence grid alone."""
        stored, present = read_presence(entry.presence_path, entry.layout)
        counts = present[np.isin(stored, labels)].sum(axis=0, dtype=np.int32)
        position = {symbol: index for index, symbol in enumerate(entry.layout.symbols)}
        own = [counts[position[symbol]] if symbol in position else 0 for symbol in symbols]
        return np.array(own, dtype=np.int32)

    def add(
        self, bars: pa.Table, *, exchange: str, interval: Interval, source: dict[str, Any], replace: bool = False
    ) -> Added:
        """Merge rows into the store, session by session, each all or nothing.

        bars     the columns of BARS and `session` (date32), in any order, unique by (timestamp, symbol)
        source   where they came from, kept in the catalog of each session they change
        replace  let rows that differ from stored ones take their place; otherwise they are a StoreError
        """
        with owned(self.root, "import"):
            if not self.exists():
                write_whole(self.root / "store.json", canonical_json({"format": FORMAT}), sync=True)
            sweep_temporaries(self.root)
            written = unchanged = rows = 0
            for session, part in _by_session(bars):
                changed = self._add_session(part, exchange, interval, session, source, replace)
                written, unchanged, rows = written + (changed > 0), unchanged + (changed == 0), rows + changed
        return Added(written, unchanged, rows)

    def quarantine(self, rows: pa.Table, *, exchange: str, interval: Interval) -> None:
        """Keep rejected rows (QUARANTINE); the same rows again change nothing."""
        sink = pa.BufferOutputStream()
        pq.write_table(rows.cast(QUARANTINE), sink, compression="zstd", write_page_checksum=True)
        content = memoryview(sink.getvalue()).cast("B")
        folder = self._folder(exchange, interval, "quarantine")
        write_whole(folder / f"{sha256(content)[:16]}.parquet", content, sync=True)

    def quarantined(self, exchange: str, interval: Interval) -> pa.Table:
        """Every rejected row kept so far, as QUARANTINE."""
        paths = sorted(self._folder(exchange, interval, "quarantine").glob("*.parquet"))
        tables = [pq.ParquetFile(path, page_checksum_verification=True).read().cast(QUARANTINE) for path in paths]
        return pa.concat_tables([QUARANTINE.empty_table(), *tables]).unify_dictionaries()

    def damage(self, entry: Entry) -> list[str]:
        """What is wrong with a session's files, in words; empty when every digest matches."""
        try:
            if (found := sha256_of(entry.path)) != entry.digest:
                return [f"{entry.path}: sha256 is {found[:12]}, its catalog entry says {entry.digest[:12]}"]
            read_symbols(entry.path, entry.presence_path, entry.layout, entry.layout.symbols)
            read_all(entry.path, entry.presence_path, entry.layout)
        except (StoreError, OSError) as error:
            return [str(error)]
        return []

    def _folder(self, exchange: str, interval: Interval, kind: str = "bars") -> Path:
        return self.root / kind / f"exchange={quote(exchange, safe='')}" / f"interval={interval}"

    def _add_session(
        self, part: pa.Table, exchange: str, interval: Interval, session: date, source: dict[str, Any], replace: bool
    ) -> int:
        held = self.entry(exchange, interval, session)
        merged, changed = _merged(None if held is None else self.load(held), part, replace=replace)
        if changed == 0:
            return 0
        content, presence, layout = encode(merged)
        sources = [*(held.sources if held else []), *([] if held and source in held.sources else [source])]
        folder = self._folder(exchange, interval) / f"session={session.isoformat()}"
        entry = Entry(exchange, str(interval), session, folder, sha256(content), len(content), sources, layout)
        write_whole(entry.path, content, sync=True)
        write_whole(entry.presence_path, presence, sync=True)
        write_whole(folder / "entry.json", sealed_json(_entry_json(entry)), sync=True)
        for stale in folder.glob("bars-*"):
            if stale not in (entry.path, entry.presence_path):
                stale.unlink()
        self._entries[folder] = entry
        return changed


def _by_session(bars: pa.Table) -> list[tuple[date, pa.Table]]:
    dates = view_of(bars.column("session").combine_chunks().view(pa.int32()))
    order = np.argsort(dates, kind="stable")
    found, starts = np.unique(dates[order], return_index=True)
    table = bars.select(BARS.names)
    parts = np.split(order, starts[1:])
    days = found.astype("datetime64[D]").tolist()
    return [(day, table.take(pa.array(rows))) for day, rows in zip(days, parts, strict=True)]


def _columns(bars: pa.Table, names: list[str]) -> tuple[Int64, Int32, list[Float64]]:
    table = bars.combine_chunks()
    timestamps = table.column("timestamp").combine_chunks().cast(pa.timestamp("us", tz="UTC")).view(pa.int64())
    position = {name: index for index, name in enumerate(names)}
    symbol = table.column("symbol").combine_chunks()
    if not pa.types.is_dictionary(symbol.type):
        symbol = symbol.cast(pa.string()).dictionary_encode()
    own = np.array([position.get(name, -1) for name in symbol.dictionary.to_pylist()] or [0], dtype=np.int32)
    codes = own[view_of(symbol.indices)]
    return view_of(timestamps), codes, [view_of(table.column(name).combine_chunks()) for name in COLUMNS]


def _merged(held: pa.Table | None, part: pa.Table, *, replace: bool) -> tuple[pa.Table, int]:
    """The session with the new rows in it, and how many of them are new or replaced."""
    tables = [part] if held is None else [held, part]
    names = sorted({name for table in tables for name in table.column("symbol").unique().to_pylist()})
    parts = [_columns(table, names) for table in tables]
    timestamps = np.concatenate([p[0] for p in parts])
    codes = np.concatenate([p[1] for p in parts])
    values = [np.concatenate(columns) for columns in zip(*(p[2] for p in parts), strict=True)]
    # lexsort is stable, so of two rows with one key the stored one comes first.
    order = np.lexsort((codes, timestamps))
    timestamps, codes, values = timestamps[order], codes[order], [column[order] for column in values]
    again = (timestamps[1:] == timestamps[:-1]) & (codes[1:] == codes[:-1])
    differs = again & np.logical_or.reduce([column[1:] != column[:-1] for column in values])
    if differs.any() and not (replace and held is not None):
        row = int(np.flatnonzero(differs)[0])
        at = np.datetime64(int(timestamps[row]), "us")
        raise StoreError(
            f"{names[codes[row]]} {at}Z: two different bars for one label ({int(differs.sum())} such labels); "
            f"import with --replace if the new ones are right, or remove one of them"
        )
    dropped: Bool = np.zeros(len(order), dtype=np.bool_)
    dropped[1:] = again & ~differs
    dropped[:-1] |= differs
    kept = ~dropped
    changed = int(kept.sum()) - (0 if held is None else held.num_rows) + int(differs.sum())
    return bars_table(timestamps[kept], codes[kept], names, [column[kept] for column in values]), changed


def _with_dictionary(table: pa.Table, symbols: list[str]) -> pa.Table:
    """The rows of `symbols` only, with exactly them as the dictionary."""
    column = table.column("symbol").combine_chunks()
    position = {name: index for index, name in enumerate(symbols)}
    own = np.array([position.get(name, -1) for name in column.dictionary.to_pylist()] or [-1], dtype=np.int32)
    codes = own[view_of(column.indices)]
    if (codes < 0).any():
        keep = codes >= 0
        if not keep.any():
            # A filter that keeps nothing leaves no chunk, which the columns' readers count on.
            return bars_table(np.empty(0, np.int64), np.empty(0, np.int32), symbols, [np.empty(0)] * len(COLUMNS))
        table, codes = table.filter(flags(keep)).combine_chunks(), codes[keep]
    return table.set_column(1, BARS.field("symbol"), dictionary(codes, text(symbols)))


def _entry_json(entry: Entry) -> dict[str, Any]:
    layout = entry.layout
    return {
        "format": FORMAT,
        "exchange": entry.exchange,
        "interval": entry.interval,
        "session": entry.session.isoformat(),
        "sha256": entry.digest,
        "bytes": entry.size,
        "sources": entry.sources,
        "rows": layout.rows,
        "columns": layout.columns,
        "symbols": layout.symbols,
        "symbol_rows": layout.symbol_rows,
        "symbol_digests": layout.symbol_digests,
        "presence_digest": layout.presence_digest,
    }


def _read_entry(folder: Path, exchange: str, interval: Interval, session: date) -> Entry | None:
    path = folder / "entry.json"
    if not path.is_file():
        return None
    found = read_sealed(path, remedy=REMEDY)
    try:
        columns = {name: (int(offset), str(digest)) for name, (offset, digest) in found["columns"].items()}
        kept = (found[name] for name in ("symbols", "symbol_rows", "symbol_digests", "presence_digest"))
        layout = Layout(found["rows"], columns, *kept)
        own = (found["exchange"], found["interval"], found["session"])
        if own != (exchange, str(interval), session.isoformat()):
            raise ValueError(f"it is the entry of {own}")
        if not layout.is_possible():
            raise ValueError("its columns or symbols are not those of a session")
        return Entry(
            exchange, str(interval), session, folder, found["sha256"], found["bytes"], found["sources"], layout
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(f"{path}: not a catalog entry ({error!r}); {REMEDY}") from error


def _require_format(path: Path) -> None:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{path}: not readable as JSON ({error}); {REMEDY}") from error
    found = value.get("format") if isinstance(value, dict) else value
    if type(found) is not int or found != FORMAT:
        raise StoreError(f"{path}: format {found!r}; this version reads {FORMAT}")
