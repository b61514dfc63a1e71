"""From vendors' rows to the store, a batch at a time.

rows ──place──▶ starts of bars ──labels──▶ believed ──sessions──▶ checked ──▶ bars, quarantine
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from backtester.data import calendar as calendars
from backtester.data import checks, labels
from backtester.data.calendar import Calendar
from backtester.data.importers.containers import VendorFile
from backtester.data.importers.layout import PRICES
from backtester.data.placing import UTC_INSTANT, Placing, place
from backtester.data.store import Store
from backtester.errors import InputError
from backtester.interval import Interval
from backtester.schema import QUARANTINE

# A batch is checked as a whole and then stored; larger imports are stored batch by batch.
BATCH_ROWS = 4_000_000
# Beyond this many files the store keeps one digest over all of them instead of each.
FILES_LISTED = 100

Reads = Iterable[tuple[pl.DataFrame, tuple[VendorFile, ...]]]


@dataclass(frozen=True)
class Import:
    """What is declared of an import; `source` is kept in the store as it is, beside files and evidence."""

    exchange: str
    placing: Placing
    source: dict[str, object]
    quarantine: bool = False
    allow_nonpositive: bool = False
    accept_labels: bool = False
    replace: bool = False


@dataclass
class Summary:
    """What an import found and changed, over all its batches."""

    files: set[VendorFile] = field(default_factory=set)
    rows: int = 0
    symbols: set[str] = field(default_factory=set)
    sessions_written: int = 0
    sessions_unchanged: int = 0
    rows_stored: int = 0
    quarantined: list[checks.Fault] = field(default_factory=list)
    labels: list[labels.Evidence] = field(default_factory=list)

    def text(self) -> str:
        """The summary in a few lines for people."""
        names = sorted(self.symbols)
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        sessions = f"{self.sessions_written:,} sessions written, {self.sessions_unchanged:,} unchanged"
        lines = [
            f"{len(self.files):,} files, {self.rows:,} rows, {len(names):,} symbols ({shown})",
            f"{sessions}, {self.rows_stored:,} rows new or replaced",
            *(f"quarantined: {fault}" for fault in self.quarantined),
            *dict.fromkeys(labels.describe(evidence) for evidence in self.labels if evidence.labelled is not None),
        ]
        return "\n".join(lines)

    def to_json(self) -> dict[str, object]:
        """The summary as one JSON object."""
        return {
            "files": len(self.files),
            "rows": self.rows,
            "symbols": sorted(self.symbols),
            "sessions_written": self.sessions_written,
            "sessions_unchanged": self.sessions_unchanged,
            "rows_stored": self.rows_stored,
            "rows_quarantined": sum(fault.rows for fault in self.quarantined),
            "quarantined": [
                {"reason": fault.reason, "rows": fault.rows, "samples": [str(sample) for sample in fault.samples]}
                for fault in self.quarantined
            ],
            "labels": [evidence.to_json() for evidence in self.labels],
        }


class _Batch(NamedTuple):
    rows: pl.DataFrame  # the importers' columns, symbol as code into names, and timestamp, fault
    files: list[VendorFile]
    names: list[str]
    is_wall_clock: bool


def ingest(reads: Reads, plan: Import, store: Store, *, tell: Callable[[str], None] = lambda _: None) -> Summary:
    """Bring what a reader yields into the store; raise InputError where labels or rows are refused.

    A batch is stored after all of it was accepted. What a refusal leaves behind are whole earlier batches, and these
    are found unchanged when the import is run again.
    """
    calendar, summary = calendars.load(plan.exchange), Summary()
    for batch in _batches(reads, plan.placing):
        evidence = _examine_labels(batch, calendar, plan)
        rows = _with_sessions(batch.rows, calendar, plan.placing.interval)
        bars, rejected = _check(rows, batch, plan)
        _store(bars, rejected, batch, evidence, plan, store, summary)
        if batch.rows.height >= BATCH_ROWS:
            tell(f"{summary.rows:,} rows of {len(summary.files):,} files read, {summary.rows_stored:,} new or replaced")
    if not summary.files:
        raise InputError("nothing to import: no file was found")
    return summary


def _batches(reads: Reads, placing: Placing) -> Iterator[_Batch]:
    """Placed rows of many small files together, of a large one alone."""
    frames: list[pl.DataFrame] = []
    files: list[VendorFile] = []
    wall_clock, count = False, 0
    for rows, own in reads:
        placed, is_wall_clock = place(rows, placing, place=own[0].name)
        # The label is kept as text, and only where it is all there is to show of a row's time.
        label = pl.when(pl.col("fault").is_not_null()).then(pl.col("label").cast(pl.String))
        if files[-1:] != list(own):  # the next piece of a large file is no new file
            files += own
        number = (pl.col("file") + (len(files) - len(own))).cast(pl.UInt32)
        frames.append(placed.with_columns(label, number))
        wall_clock, count = wall_clock or is_wall_clock, count + rows.height
        if count >= BATCH_ROWS:
            yield _batch(frames, files, is_wall_clock=wall_clock)
            frames, files, wall_clock, count = [], [], False, 0
    if frames:
        yield _batch(frames, files, is_wall_clock=wall_clock)


def _batch(frames: list[pl.DataFrame], files: list[VendorFile], *, is_wall_clock: bool) -> _Batch:
    rows = pl.concat(frames, how="diagonal")
    names = rows["symbol"].drop_nulls().unique().sort().to_list()
    coded = rows.with_columns(pl.col("symbol").cast(pl.Enum(names)).to_physical().cast(pl.Int32))
    return _Batch(coded, files, names, is_wall_clock)


def _examine_labels(batch: _Batch, calendar: Calendar, plan: Import) -> labels.Evidence:
    """What the bars say of their labels; raise InputError where that contradicts what was declared."""
    known = batch.rows.filter(_is_known(calendar), pl.col("symbol").is_not_null())
    bars = known.select("symbol", pl.col("timestamp").to_physical(), pl.col("volume").fill_null(0.0))
    evidence = labels.examine(
        bars, calendar=calendar, placing=plan.placing, is_wall_clock=batch.is_wall_clock, names=batch.names
    )
    if evidence.verdict == labels.CONTRADICTS and not plan.accept_labels:
        raise InputError(labels.refusal(evidence, exchange=plan.exchange))
    return evidence


def _is_known(calendar: Calendar) -> pl.Expr:
    """True where the packaged calendar surely reaches: at its first and last day a zone could still leave it."""
    first, last = (pl.lit(day).cast(UTC_INSTANT) for day in (calendar.first, calendar.last))
    return pl.col("timestamp").is_between(first.dt.offset_by("1d"), last, closed="left").fill_null(value=False)


def _with_sessions(rows: pl.DataFrame, calendar: Calendar, interval: Interval) -> pl.DataFrame:
    """Add is_known, session (null outside any) and since_open_us; a daily bar starts at its session's open."""
    rows = rows.with_columns(_is_known(calendar).alias("is_known"))
    known = rows["is_known"].to_numpy()
    instants = rows["timestamp"].to_physical().fill_null(0).to_numpy()
    columns = calendar.columns
    session = np.full(rows.height, np.datetime64("NaT"), dtype="datetime64[D]")
    if interval.is_intraday:
        session[known] = calendar.session_dates_of(instants[known])
    else:
        days = instants.astype("datetime64[us]").astype("datetime64[D]")
        is_session = known & np.isin(days, columns.dates)
        session[is_session] = days[is_session]
    inside = ~np.isnat(session)
    opens = np.zeros(rows.height, dtype=np.int64)
    opens[inside] = columns.opens[np.searchsorted(columns.dates, session[inside])]
    starts = instants if interval.is_intraday else np.where(inside, opens, instants)
    return rows.with_columns(
        pl.Series("session", session),
        pl.Series("since_open_us", starts - opens),
        pl.when(pl.col("timestamp").is_not_null()).then(pl.Series(starts).cast(UTC_INSTANT)).alias("timestamp"),
    )


def _check(rows: pl.DataFrame, batch: _Batch, plan: Import) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Bars and rejected rows (with `reason`); raise InputError for the latter unless they are to be set aside."""
    reason = checks.reasons(rows, batch.names, interval=plan.placing.interval, allow_nonpositive=plan.allow_nonpositive)
    if not reason.count():
        return rows, rows.clear().with_columns(reason.clear())
    rejected = rows.with_columns(reason.alias("reason")).filter(reason.is_not_null())
    if not plan.quarantine or rejected.height == rows.height:
        faults = checks.summarise(rejected, files=[file.name for file in batch.files], names=batch.names)
        listed = "\n".join(f"  {fault}" for fault in faults)
        raise InputError(
            f"{rejected.height} of {rows.height} rows are no bars of {plan.exchange}:\n{listed}\n"
            "correct the files or what is declared of them, or set these rows aside with --bad-rows quarantine"
        )
    return rows.filter(reason.is_null()), rejected


def _store(
    bars: pl.DataFrame,
    rejected: pl.DataFrame,
    batch: _Batch,
    evidence: labels.Evidence,
    plan: Import,
    store: Store,
    summary: Summary,
) -> None:
    """Hand accepted rows to the store and rejected ones to its quarantine, and count both."""
    exchange, interval = plan.exchange, plan.placing.interval
    source = plan.source | {"files": _files(batch.files), "labels": evidence.to_json()}
    added = store.add(
        _bars_table(bars, batch.names), exchange=exchange, interval=interval, source=source, replace=plan.replace
    )
    if rejected.height:
        table = _quarantine_table(rejected, batch.names, batch.files)
        store.quarantine(table, exchange=exchange, interval=interval)
        files = [file.name for file in batch.files]
        summary.quarantined = checks.merge(
            summary.quarantined, checks.summarise(rejected, files=files, names=batch.names)
        )
    summary.sessions_written += added.sessions
    summary.sessions_unchanged += added.unchanged
    summary.rows_stored += added.rows
    summary.files.update(batch.files)
    summary.rows += batch.rows.height
    summary.symbols.update(batch.names)
    summary.labels.append(evidence)


def _files(files: list[VendorFile]) -> object:
    """Each file's name, digest and size, or a count and one digest over these lines where they are many."""
    listed = [{"name": file.name, "sha256": file.sha256, "bytes": file.bytes} for file in files]
    if len(listed) <= FILES_LISTED:
        return listed
    lines = "".join(f"{file.sha256}  {file.name}\n" for file in files)
    return {"count": len(files), "sha256": hashlib.sha256(lines.encode()).hexdigest()}


def _bars_table(bars: pl.DataFrame, names: list[str]) -> pa.Table:
    return pa.table(
        {
            "timestamp": bars["timestamp"].to_arrow(),
            # As text: a session's dictionary holds its own symbols only, and the store makes it.
            "symbol": _dictionary(bars["symbol"], names).cast(pa.string()),
            **{name: bars[name].to_arrow() for name in (*PRICES, "volume")},
            "session": bars["session"].to_arrow(),
        }
    )


def _quarantine_table(rejected: pl.DataFrame, names: list[str], files: list[VendorFile]) -> pa.Table:
    """Rejected rows as QUARANTINE; a row whose symbol could not be read has the symbol ""."""
    reasons = rejected["reason"].unique().sort().to_list()
    columns = {
        "symbol": _dictionary(rejected["symbol"].fill_null(len(names)), [*names, ""]),
        "timestamp": rejected["timestamp"].to_arrow(),
        **{name: rejected[name].to_arrow() for name in (*PRICES, "volume")},
        "reason": _dictionary(rejected["reason"].cast(pl.Enum(reasons)).to_physical(), reasons),
        "source": _dictionary(rejected["file"], [file.name for file in files]),
        "row": rejected["row"].to_arrow(),
    }
    return pa.table({name: columns[name] for name in QUARANTINE.names}, schema=QUARANTINE)


def _dictionary(codes: pl.Series, names: list[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(codes.cast(pl.Int32).to_arrow(), pa.array(names, pa.string()))
