"""The rules a row must keep to be a bar: each broken rule is a named reason, counted and shown, never repaired."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from backtester.data.importers.layout import PRICES
from backtester.data.placing import AMBIGUOUS_TIME, MISSING_TIME, UNREADABLE_TIME
from backtester.interval import Interval

WRONG_FIELDS = "wrong number of fields"
UNREADABLE_NUMBER = "unreadable number"
UNREADABLE_SYMBOL = "unreadable symbol"
NOT_FINITE = "number not finite"
NEGATIVE_VOLUME = "negative volume"
NOT_POSITIVE = "price not positive"
IMPOSSIBLE = "impossible bar"
OUTSIDE_CALENDAR = "outside the packaged calendar"
OUTSIDE_SESSIONS = "outside any session"
OFF_GRID = "off the grid of the session"
OUT_OF_ORDER = "out of order"
IDENTICAL_REPEAT = "repeats an identical bar"
CONFLICTING_REPEAT = "repeats a label with other values"

# Reason -> what a user can do about it, shown beside the count.
REMEDIES = {
    UNREADABLE_TIME: "see --time-format",
    AMBIGUOUS_TIME: "the clocks went back; only labels with an offset can tell the two hours apart",
    MISSING_TIME: "the clocks went forward; see --timezone",
    UNREADABLE_NUMBER: "see --columns and --delimiter",
    NOT_POSITIVE: "--allow-nonpositive if the instrument may trade there",
    IMPOSSIBLE: "open and close lie outside [low, high]; if in many rows, see --columns",
    OUTSIDE_SESSIONS: "see --exchange and --timezone",
    OFF_GRID: "labels are no whole intervals from the open; see --interval and --label",
    OUT_OF_ORDER: "--newest-first if the whole file runs backwards",
}
SAMPLES = 3
# OCC option symbols take 21 characters; what is longer than this is another column.
LONGEST_SYMBOL = 64
_SHOWN = ("file", "row", "symbol", *PRICES, "volume", "unreadable")


@dataclass(frozen=True)
class Sample:
    """One rejected row: where it stands, its time and what it holds."""

    file: str
    row: int
    time: str
    value: str

    def __str__(self) -> str:
        return f"{self.file} row {self.row} ({self.time}): {self.value}"


@dataclass(frozen=True)
class Fault:
    """A broken rule: how many rows broke it, and the first of them."""

    reason: str
    rows: int
    samples: tuple[Sample, ...]

    def __str__(self) -> str:
        remedy = f" [{REMEDIES[self.reason]}]" if self.reason in REMEDIES else ""
        lines = [f"{self.reason}: {self.rows} row{'s' if self.rows > 1 else ''}{remedy}"]
        return "\n".join([*lines, *(f"    {sample}" for sample in self.samples)])


def reasons(rows: pl.DataFrame, names: list[str], *, interval: Interval, allow_nonpositive: bool) -> pl.Series:
    """The first rule each row breaks, null where it is a bar.

    rows  the importers' columns, symbol as code into `names`, and timestamp, fault, is_known (the calendar reaches it),
          session (null outside any), since_open_us; in file order. Of rows with one symbol and timestamp the first that
          is otherwise a bar stands, every later one is a repeat.
    """
    unreadable = [
        code for code, name in enumerate(names) if not 0 < len(name) <= LONGEST_SYMBOL or not name.isprintable()
    ]
    rule = _row_rule(unreadable, interval, allow_nonpositive=allow_nonpositive)
    single = rows.select(rule.alias("reason")).to_series()
    whole = rows.with_row_index("position").filter(single.is_null())
    late = whole.filter(pl.col("timestamp") < pl.col("timestamp").cum_max().over("file", "symbol"))
    broken = single.scatter(late["position"], OUT_OF_ORDER) if late.height else single
    whole = whole.filter(~pl.col("position").is_in(late["position"].implode())) if late.height else whole
    again = whole.filter(~pl.struct("symbol", "timestamp").is_first_distinct())
    if again.is_empty():
        return broken
    firsts = whole.unique(["symbol", "timestamp"], keep="first").select("symbol", "timestamp", *PRICES, "volume")
    compared = again.join(firsts, on=["symbol", "timestamp"], suffix="_first", maintain_order="left")
    equal = compared.select(
        pl.all_horizontal(pl.col(name) == pl.col(f"{name}_first") for name in (*PRICES, "volume"))
    ).to_series()
    kinds = pl.select(pl.when(equal).then(pl.lit(IDENTICAL_REPEAT)).otherwise(pl.lit(CONFLICTING_REPEAT))).to_series()
    return broken.scatter(again["position"], kinds)


def summarise(rejected: pl.DataFrame, *, files: list[str], names: list[str]) -> list[Fault]:
    """Rejected rows (with `reason`) by rule, the commonest first, each with its first rows."""
    counted = rejected.group_by("reason", maintain_order=True).agg(pl.len()).sort("len", descending=True)
    faults = []
    for reason, count in counted.iter_rows():
        # As text: what is no bar may lie in a year that Python's datetime cannot hold.
        time = pl.coalesce(pl.col("timestamp").dt.strftime("%Y-%m-%d %H:%M:%SZ"), "label").alias("time")
        first = rejected.filter(pl.col("reason") == reason).head(SAMPLES).select(*_SHOWN, time)
        faults.append(Fault(reason, count, tuple(_sample(row, files, names) for row in first.iter_rows(named=True))))
    return faults


def merge(earlier: list[Fault], later: list[Fault]) -> list[Fault]:
    """The faults of two batches as one list: counts added, the first samples kept, the commonest first."""
    merged = {fault.reason: fault for fault in earlier}
    for fault in later:
        known = merged.get(fault.reason, Fault(fault.reason, 0, ()))
        merged[fault.reason] = Fault(fault.reason, known.rows + fault.rows, (known.samples + fault.samples)[:SAMPLES])
    return sorted(merged.values(), key=lambda fault: -fault.rows)


def _row_rule(unreadable_symbols: list[int], interval: Interval, *, allow_nonpositive: bool) -> pl.Expr:
    """The rules one row keeps or breaks by itself, the most basic first."""
    numbers = [pl.col(name) for name in (*PRICES, "volume")]
    low, high = pl.col("low"), pl.col("high")
    ordered = (low <= high) & pl.col("open").is_between(low, high) & pl.col("close").is_between(low, high)
    rule = (
        pl.when(pl.col("unreadable").str.starts_with("line "))
        .then(pl.lit(WRONG_FIELDS))
        .when(pl.col("fault").is_not_null())
        .then(pl.col("fault"))
        .when(pl.col("unreadable").is_not_null())
        .then(pl.lit(UNREADABLE_NUMBER))
        .when(pl.col("symbol").is_null() | pl.col("symbol").is_in(unreadable_symbols))
        .then(pl.lit(UNREADABLE_SYMBOL))
        .when(~pl.all_horizontal(number.is_finite() for number in numbers))
        .then(pl.lit(NOT_FINITE))
        .when(pl.col("volume") < 0)
        .then(pl.lit(NEGATIVE_VOLUME))
    )
    if not allow_nonpositive:
        rule = rule.when(pl.min_horizontal(*PRICES) <= 0).then(pl.lit(NOT_POSITIVE))
    rule = rule.when(~ordered).then(pl.lit(IMPOSSIBLE))
    rule = rule.when(pl.col("session").is_null()).then(
        pl.when(pl.col("is_known")).then(pl.lit(OUTSIDE_SESSIONS)).otherwise(pl.lit(OUTSIDE_CALENDAR))
    )
    if interval.is_intraday:
        rule = rule.when(pl.col("since_open_us") % interval.us != 0).then(pl.lit(OFF_GRID))
    return rule.otherwise(None)


def _sample(row: dict[str, Any], files: list[str], names: list[str]) -> Sample:
    numbers = " ".join(f"{name} {row[name]}" for name in (*PRICES, "volume"))
    symbol = "no symbol" if row["symbol"] is None else repr(names[row["symbol"]])
    return Sample(files[row["file"]], row["row"], str(row["time"]), row["unreadable"] or f"{symbol} {numbers}")
