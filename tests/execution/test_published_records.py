"""Records that zipline and vectorbt publish of their own fills, each by an `[execution]` section alone."""

import datetime as dt
import json
from pathlib import Path

import pytest

from tests.execution.golden import SECTIONS, order
from tests.execution.two_engines import MINUTE, Case, Day, exact, real

ORACLES = Path(__file__).resolve().parents[3] / "shared" / "oracles"
OPEN = 1_750_080_600_000_000

pytestmark = pytest.mark.skipif(not ORACLES.is_dir(), reason="../shared/oracles is not here")
ledgers = pytest.mark.parametrize("ledger", [exact, real], ids=["exact", "ledger"])


def published(name):
    """The cases of one engine."""
    return json.loads((ORACLES / name / "cases.json").read_text(encoding="utf-8"))


def case(bars, requests, section):
    """One symbol, one session, a bar a minute."""
    day = Day(dt.date(2025, 6, 16), [OPEN + k * MINUTE for k in range(len(bars))], OPEN + len(bars) * MINUTE)
    return Case([day], {(k, 0): tuple(map(float, bar)) for k, bar in enumerate(bars)}, requests, section)


def flat(price, volume):
    """A bar of one price."""
    return (price, price, price, price, volume)


def charges(fills):
    """What an order has been charged after each fill."""
    totals = []
    for fill in fills:
        totals.append(float(fill["commission"]) + (totals[-1] if totals else 0.0))
    return totals


@ledgers
@pytest.mark.parametrize(("name", "minimum"), [("no minimum", 0.0), ("min 1", 1.0), ("min 2.5", 2.5)])
def test_zipline_charges_the_minimum_once_an_order(ledger, name, minimum):
    fees = {"model": "per_unit", "per_unit": 0.0075, "minimum": minimum}
    section = SECTIONS["zipline"] | {"volume_frac": 1.0, "commission": fees}
    bars = [flat(100, volume) for volume in (1, 230, 170, 100)]

    fills = ledger(case(bars, [order(0, 1, 500)], section)).fills

    assert charges(fills) == pytest.approx(published("zipline")["per_share"]["cumulative"][name], rel=1e-12)


@ledgers
def test_zipline_charges_a_share_of_the_dollars_traded(ledger):
    told = published("zipline")["per_dollar"]
    fees = {"model": "percent", "rate": told["cost"]}
    section = SECTIONS["zipline"] | {"volume_frac": 1.0, "slippage_bps": 0.0, "commission": fees}
    bars = [flat(100, 1), *(flat(price, units) for units, price in told["fills"])]

    fills = ledger(case(bars, [order(0, 1, 500)], section)).fills

    assert [float(fill["commission"]) for fill in fills] == pytest.approx(told["commissions"], rel=1e-12)


@ledgers
@pytest.mark.parametrize("which", [0, 1])
def test_zipline_volume_share_slippage_keeps_to_the_limit(ledger, which):
    told = published("zipline")["volume_share_slippage"]
    shape, wanted = told["bars"], told["cases"][which]
    impact = {"volume_frac": 0.025, "share_impact": 0.1, "share_cap": 0.025, "slippage_bps": 0.0, "limit_guard": True}
    last = wanted["bar_index"] + 1
    bars = [
        (o, max(o, c), min(o, c), c, v)
        for o, c, v in zip(shape["open"][:last], shape["close"][:last], shape["volume"][:last], strict=True)
    ]
    asked = order(last - 2, 1, 100, order_type="limit", limit=float(wanted["order"].split()[-1]))

    fills = ledger(case(bars, [asked], SECTIONS["zipline"] | impact)).fills

    found = [[float(fill["quantity"]), pytest.approx(float(fill["price"]), rel=1e-12)] for fill in fills]
    assert found == ([] if wanted["fill"] is None else [wanted["fill"]])


def signals(direction):
    """Requests of entries [1, 1, 1, 0, 0] and exits [0, 0, 1, 1, 1]; both at once is neither."""
    side = -1 if direction == "shortonly" else 1
    leave = {"kind": "enter", "side": -1} if direction == "both" else {"kind": "exit"}
    return [*({"label": k, "kind": "enter", "side": side} for k in (0, 1)), *({"label": k, **leave} for k in (3, 4))]


def records(fills):
    """[label, quantity, price, fee, side] with the fills of one order of vectorbt's, exit and entry, as one."""
    merged = {}
    for fill in fills:
        key = (fill["label"], fill["side"], float(fill["price"]))
        quantity, fee = merged.get(key, (0.0, 0.0))
        merged[key] = (quantity + float(fill["quantity"]), fee + float(fill["commission"]))
    return [[at, units, price, fee, int(side < 0)] for (at, side, price), (units, fee) in merged.items()]


def near(rows):
    """The same rows, to compare with."""
    return [pytest.approx(row, rel=1e-12, abs=1e-12) for row in rows]


VECTORBT = SECTIONS["vectorbt"] | {"capital": 100.0}
RISING = [flat(price, 1000) for price in (1, 2, 3, 4, 5)]
ONE_UNIT = {"size_unit": "units", "size_amount": 1.0}
# one_column_shortonly is left out: vectorbt buys back no more of a short than cash pays for, and leaves the rest open.
SIGNALS = [("one_column_both", 0, {}), ("one_column_longonly", 0, {})]
SIGNALS += [
    (f"fees_{direction}", column, {**ONE_UNIT, "commission": {"maker_rate": fee, "taker_rate": fee}})
    for direction in ("longonly", "both")
    for column, fee in enumerate((-0.1, 0.0, 0.1, 1.0))
]
SIGNALS += [
    ("slippage_longonly", column, {**ONE_UNIT, "slippage_bps": 10_000.0 * frac})
    for column, frac in enumerate((0.0, 0.1, 1.0))
]


@ledgers
@pytest.mark.parametrize(("name", "column", "rules"), SIGNALS)
def test_vectorbt_signals(ledger, name, column, rules):
    fills = ledger(case(RISING, signals(name.split("_")[-1]), VECTORBT | rules)).fills

    assert records(fills) == near([row[1:] for row in published("vectorbt")["records"][name] if row[0] == column])


STOPS = [
    ("sl_stop_down", "stop_loss", (None, 0.1, 0.15, 0.2, None)),
    ("tp_stop_up", "take_profit", (None, 0.5, 0.75, 1.0, None)),
]


@ledgers
@pytest.mark.parametrize("direction", ["longonly", "shortonly"])
@pytest.mark.parametrize(
    ("name", "leg", "column"), [(n, leg, k) for n, leg, values in STOPS for k in range(len(values))]
)
def test_vectorbt_stops(ledger, direction, name, leg, column):
    frac = {n: values for n, _, values in STOPS}[name][column]
    closes, ahead = ((5, 4, 3, 2, 1), 0.25) if "down" in name else ((1, 2, 3, 4, 5), -0.25)
    bars = [(close + ahead, close + 0.5, close - 0.5, close, 1000) for close in closes]
    entry = {"label": 0, "kind": "enter", "side": 1 if direction == "longonly" else -1}
    entry |= {} if frac is None else {leg: (frac,)}

    fills = ledger(case(bars, [entry], VECTORBT)).fills

    rows = published("vectorbt")["stop_records"][f"{name}_{direction}"]
    assert records(fills) == near([row[1:] for row in rows if row[0] == column])
