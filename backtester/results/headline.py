"""What a run prints of its metrics when it ends: a dozen of them, laid out to be read at a glance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from backtester.data.columns import values_of, view_of
from backtester.data.run_dir import RunDir

Value = float | datetime | None
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def metrics_of(run_dir: RunDir) -> dict[str, Value]:
    """This project's own metrics of a finished run by id, None where one has no value; empty without a strategy."""
    manifest = run_dir.manifest()
    if manifest is None or "metrics" not in manifest["run_tables"]:
        return {}
    with pq.ParquetFile(run_dir.inside(run_dir.run_table_path("metrics")), page_checksum_verification=True) as file:
        rows = file.read(columns=["id", "variant", "value", "moment"])
    # Not as datetimes: making them imports pandas where it is installed.
    moments = [None if us is None else EPOCH + timedelta(microseconds=us) for us in _microseconds(rows["moment"])]
    columns = (rows["id"].to_pylist(), rows["variant"].to_pylist(), rows["value"].to_pylist(), moments)
    found = zip(*columns, strict=True)
    return {name: value if moment is None else moment for name, variant, value, moment in found if not variant}


def _microseconds(column: pa.ChunkedArray) -> list[int | None]:
    return [us for chunk in column.chunks for us in chunk.view(pa.int64()).to_pylist()]


def refusals(run_dir: RunDir) -> dict[str, int]:
    """How many orders of a run were refused, by reason, the most frequent first; their rows are in `order_events`."""
    counts: Counter[str] = Counter()
    for _, path in run_dir.files("order_events"):
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            rows = file.read(columns=["event", "reason"])
        for events, reasons in zip(rows["event"].chunks, rows["reason"].chunks, strict=True):
            words = events.dictionary.to_pylist()
            if "rejected" in words:
                refused = values_of(reasons.indices)[view_of(events.indices) == words.index("rejected")]
                for code, count in zip(*np.unique(refused.astype(np.int64), return_counts=True), strict=True):
                    counts[reasons.dictionary[code].as_py()] += int(count)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def refusals_line(refused: dict[str, int]) -> list[str]:
    """The line that tells why orders were refused; none where none was."""
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in refused.items())
    return [f"{'refused':14}{sum(refused.values()):,} orders: {reasons}"] if refused else []


def as_json(metrics: dict[str, Value]) -> dict[str, float | str | None]:
    """The same for JSON: instants in ISO 8601."""
    return {
        name: value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
        for name, value in metrics.items()
    }


def headline(metrics: dict[str, Value]) -> list[str]:
    """The lines to print; a number without a value is a dash."""

    def shown(name: str, form: Callable[[float], str]) -> str:
        value = metrics[name]
        return form(value) if isinstance(value, int | float) else "-"

    def span(peak: Value, trough: Value) -> str:
        """Of the deepest drawdown, which may begin with the capital; nothing where there is none."""
        start = f"{peak:%Y-%m-%d}" if isinstance(peak, datetime) else "the start"
        return f" ({start} to {trough:%Y-%m-%d})" if isinstance(trough, datetime) else ""

    trough = metrics["max_drawdown_bars_trough"]
    minute = f" ({trough:%Y-%m-%d %H:%M} UTC)" if isinstance(trough, datetime) else ""
    depth = [shown(name, _percent) for name in ("max_drawdown", "max_drawdown_bars")]
    days = span(metrics["max_drawdown_peak"], metrics["max_drawdown_trough"])
    shares = [shown(f"pnl_share_{flag}", _percent) for flag in ("gap_adjacent", "stale", "defective")]
    trades = [shown("trades", _count), shown("open_trades", _count), shown("win_rate", _percent)]
    doubt = [shown(name, _money) for name in ("pnl_worst", "pnl_best")]
    assumed = f"{shown('pnl_share_assumed', _percent)} of the P&L ({shown('ambiguous_fills', _count)} fills)"
    held = [shown(name, _percent) for name in ("exposure", "gross_exposure")]
    ended = shown("end_equity", _money)
    rows = {
        "net P&L": f"{shown('pnl', _money)} ({shown('total_return', _percent)}), end equity {ended}",
        "Sharpe": f"{shown('sharpe', _ratio)}, Sortino {shown('sortino', _ratio)}, a year of {_sessions(metrics)}",
        "max drawdown": f"{depth[0]} at session ends{days}, {depth[1]} by bars{minute}",
        "trades": "{} ended, {} open, {} won, ".format(*trades) + f"profit factor {shown('profit_factor', _ratio)}",
        "fees": f"{shown('fees', _money)}, turnover {shown('turnover', _ratio)} times equity a year",
        "exposure": "{} of bars, {} of equity on average".format(*held),
        "if doubtful": "worst {}, best {}: assumptions decide ".format(*doubt) + assumed,
        "touched by": "gaps {}, stale bars {}, defective bars {} of all P&L".format(*shares),
    }
    return [f"{name:14}{text}" for name, text in rows.items()]


def ties_line(ties: dict[str, Any]) -> list[str]:
    """The line that tells what the order of the symbols decided."""
    own, lowest, highest = ties["pnl"][0], min(ties["pnl"]), max(ties["pnl"])
    share = f" ({_percent(ties['widest'] / abs(own))} of the P&L)" if own else ""
    text = f"{_money(lowest)} to {_money(highest)} under {ties['orders']} other orders of the symbols"
    return [f"{'ties':14}{text}: {_money(ties['widest'])} apart{share}"]


def _sessions(metrics: dict[str, Value]) -> str:
    value = metrics["sessions_per_year"]
    return f"{value:g} sessions" if isinstance(value, int | float) else "-"


def _money(value: float) -> str:
    return f"{value:,.2f}"


def _ratio(value: float) -> str:
    return f"{value:,.2f}"


def _percent(value: float) -> str:
    return f"{100.0 * value:.2f} %"


def _count(value: float) -> str:
    return f"{value:,.0f}"
