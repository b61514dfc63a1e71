"""LEAN's regression algorithms that trade bars alone decide, on its own minutes of SPY, by an `[execution]` section."""

import csv
import datetime as dt
import functools
import json
import zipfile
from fractions import Fraction
from pathlib import Path

import pytest

from tests.execution.golden import SECTIONS, order
from tests.execution.two_engines import Case, Day, exact, real

SHARED = Path(__file__).resolve().parents[3] / "shared"
MINUTES = SHARED / "data" / "lean" / "equity" / "usa" / "minute" / "spy"
ORACLES = SHARED / "oracles" / "lean"
# New York is four hours behind UTC in October; its regular hours are these milliseconds of a day.
NEW_YORK, OPEN_MS, CLOSE_MS = 4 * 3600 * 1_000_000, 34_200_000, 57_600_000
FACTOR = Fraction(8646266, 10**7)  # SPY's price factor of the week
LEAN = SECTIONS["lean"] | {"leverage": 2.0}

pytestmark = pytest.mark.skipif(not MINUTES.is_dir(), reason="../shared/data/lean is not here")
ledgers = pytest.mark.parametrize("ledger", [exact, real], ids=["exact", "ledger"])


@functools.cache
def week():
    """(days, bars) of SPY from 2013-10-07 to 2013-10-11, prices adjusted."""
    days, bars = [], {}
    for date in (dt.date(2013, 10, day) for day in range(7, 12)):
        midnight = int(dt.datetime(date.year, date.month, date.day, tzinfo=dt.UTC).timestamp()) * 1_000_000 + NEW_YORK
        with zipfile.ZipFile(MINUTES / f"{date:%Y%m%d}_trade.zip") as archive:
            rows = list(csv.reader(archive.read(archive.namelist()[0]).decode().splitlines()))
        labels = []
        for time, *prices, volume in rows:
            if OPEN_MS <= int(time) < CLOSE_MS:
                adjusted = (float(Fraction(int(price), 10_000) * FACTOR) for price in prices)
                bars[len(bars), 0] = (*adjusted, float(volume))
                labels.append(midnight + int(time) * 1000)
        days.append(Day(date, labels, midnight + CLOSE_MS * 1000))
    return days, bars


def runs(requests, sessions, ledger):
    """The outcome of requests over the week's first sessions."""
    days, bars = week()
    count = sum(len(day.labels) for day in days[:sessions])
    kept = {key: bar for key, bar in bars.items() if key[0] < count}
    return ledger(Case(days[:sessions], kept, requests, LEAN))


def published(name):
    """(fills as (quantity, price, fee), end equity) that LEAN's run had."""
    with (ORACLES / "fills" / f"{name}.csv").open(encoding="utf-8", newline="") as lines:
        fills = [tuple(float(row[key]) for key in ("quantity", "fill_price", "fee")) for row in csv.DictReader(lines)]
    (told,) = [
        case for case in json.loads((ORACLES / "cases.json").read_text(encoding="utf-8")) if case["name"] == name
    ]
    return fills, float(told["replayed_here"]["end_equity_exact"])


def found(outcome):
    """(quantity, price, fee) of each fill."""
    return [(f["side"] * float(f["quantity"]), float(f["price"]), float(f["commission"])) for f in outcome.fills]


def near(fills):
    """The same fills, to compare with."""
    return [pytest.approx(fill, rel=1e-9) for fill in fills]


@ledgers
def test_market_on_close_orders_wait_for_the_close_of_their_session(ledger):
    # Asked at 15:49, and after the close: at 17:00 in LEAN, with the session's last bar here.
    asked = [order(378, 1, 2, order_type="market_on_close"), order(389, 1, 2, order_type="market_on_close")]

    outcome = runs(asked, 2, ledger)

    fills, equity = published("MarketOnCloseOrderBufferRegressionAlgorithm")
    assert found(outcome) == near(fills)
    assert float(outcome.equity[-1][1]) == pytest.approx(equity, rel=1e-12)


@ledgers
def test_orders_expire_by_their_time_in_force(ledger):
    days, _ = week()
    until = {"tif": "gtd", "until": days[3].close_at}
    asked = [
        order(0, 1, 10, order_type="limit", limit=price, **tif)
        for tif, prices in (({}, (100.0, 160.0)), ({"tif": "day"}, (140.0, 180.0)), (until, (100.0, 160.0)))
        for price in prices
    ]

    outcome = runs(asked, 5, ledger)

    fills, equity = published("TimeInForceAlgorithm")
    assert found(outcome) == near(fills)
    assert [(end[0], end[1], end[2]) for end in outcome.ends] == [(2, 389, "day"), (4, 4 * 390 - 1, "gtd")]
    assert float(outcome.equity[-1][1]) == pytest.approx(equity, rel=1e-12)


@ledgers
def test_a_stop_the_market_has_passed_fills_at_the_next_open(ledger):
    fills, _ = published("StopLossOnOrderEventRegressionAlgorithm")
    # LEAN sold at the bid of a quote bar, which trade bars do not hold: the exit alone is compared.
    asked = [order(0, -1, 100), order(0, 1, 100, order_type="stop", stop=fills[0][1] - 2.0)]

    outcome = runs(asked, 1, ledger)

    assert found(outcome)[1:] == near(fills[1:])
    assert [fill["label"] for fill in outcome.fills] == [0, 1]
