"""What must not change, or must change in one known way, when a case is changed: no expected fill is written down."""

import random
from dataclasses import replace
from fractions import Fraction

import pytest

from tests.execution.generated import TICK, generated
from tests.execution.two_engines import PRICES, real

some = pytest.mark.parametrize(
    "seeds", [range(20_000, 20_040), pytest.param(range(20_040, 20_540), marks=pytest.mark.soak)], ids=["some", "many"]
)
MONEY_RULES = ("capital", "tick")
MONEY_FEES = ("per_order", "per_unit", "minimum", "sell_per_unit", "sell_cap")
MONEY_LIMITS = ("max_buying_power", "max_per_trade", "max_per_symbol", "max_daily_loss")
MONEY = ("price", "reference", "commission", "worst", "best", "cash", "realized")


def times(section, names, factor):
    """The section with those of `names` it sets multiplied."""
    return section | {name: section[name] * factor for name in names if name in section}


def scaled(case, factor):
    """The case in another currency: everything that is money is multiplied."""
    execution = times(case.execution, MONEY_RULES, factor)
    if "commission" in execution:
        fees = times(execution["commission"], MONEY_FEES, factor)
        execution["commission"] = fees | {"tiers": [(bound, rate * factor) for bound, rate in fees.get("tiers", [])]}
    if execution.get("size_unit") == "notional":
        execution = times(execution, ("size_amount",), factor)
    bars = {key: (*(price * factor for price in bar[:4]), bar[4]) for key, bar in case.bars.items()}
    requests = []
    for row in case.requests:
        priced = {n: row[n] * factor for n in PRICES if n in row and not isinstance(row[n], tuple)}
        priced |= {"amount": row["amount"] * factor} if row.get("unit") == "notional" else {}
        requests.append(row | priced)
    limits = times(case.limits, MONEY_LIMITS, factor)
    return replace(case, bars=bars, execution=execution, limits=limits, requests=requests)


@some
@pytest.mark.parametrize("power", [-3, 5])
def test_prices_times_a_power_of_two_scale_the_money_exactly(seeds, power):
    factor = Fraction(2) ** power
    for seed in seeds:
        case = generated(seed)

        plain, large = real(case), real(scaled(case, float(factor)))

        assert [f | {name: f[name] * factor for name in MONEY} for f in plain.fills] == large.fills, seed
        assert plain.ends == large.ends, seed
        assert [(cash * factor, worth * factor) for cash, worth in plain.equity] == large.equity, seed


def renamed(case, numbers):
    """The case with its symbols renumbered, and restrictions with them."""
    limits = dict(case.limits)
    if "restricted" in limits:
        limits["restricted"] = [f"S{numbers[int(name[1:])]:02d}" for name in limits["restricted"]]
    return replace(
        case,
        bars={(label, numbers[symbol]): bar for (label, symbol), bar in case.bars.items()},
        requests=[row | {"symbol": numbers[row["symbol"]]} for row in case.requests],
        limits=limits,
        symbols=max(case.symbols, *(number + 1 for number in numbers)),
        no_entry={(label, numbers[symbol]) for label, symbol in case.no_entry},
        unselected={(label, numbers[symbol]) for label, symbol in case.unselected},
    )


def of_symbols(outcome, numbers):
    """Fills by symbol in order, as they were numbered before, without what tells the order of symbols."""
    names = ("label", "side", "quantity", "price", "reference", "commission", "rule", "ambiguous", "worst", "best")
    return {
        old: [[f[n] for n in names] for f in outcome.fills if f["symbol"] == new] for old, new in enumerate(numbers)
    }


@some
def test_symbols_may_be_numbered_in_any_order_where_nothing_is_shared(seeds):
    for seed in seeds:
        case = generated(seed)
        limits = {name: case.limits[name] for name in ("flat_by", "restricted", "max_per_trade") if name in case.limits}
        # Every request has a rank of its own, and no symbol takes what another would have: cash, tiers, equity.
        requests = [
            row | {"rank": float(k), "group": -1}
            for k, row in enumerate(case.requests)
            if row.get("unit", "units") in ("units", "notional")
        ]
        execution = case.execution | {"cash": "none", "size_unit": "units", "size_amount": 10.0, "maintenance": 0.0}
        execution["commission"] = execution.get("commission", {}) | {"tiers": []}
        alone = replace(case, execution=execution, limits=limits, requests=requests)
        numbers = list(range(case.symbols))
        random.Random(seed).shuffle(numbers)

        plain, other = real(alone), real(renamed(alone, numbers))

        assert of_symbols(plain, range(case.symbols)) == of_symbols(other, numbers), seed
        for (cash, worth), found in zip(plain.equity, other.equity, strict=True):
            assert found == (pytest.approx(cash, rel=1e-12), pytest.approx(worth, rel=1e-12)), seed


@some
def test_a_symbol_nobody_trades_changes_nothing(seeds):
    for seed in seeds:
        case = generated(seed)
        numbers = [0, *range(2, case.symbols + 1)]
        wider = renamed(case, numbers)
        labels = {label for label, _ in case.bars}
        wider = replace(wider, bars=wider.bars | {(label, 1): (9.0, 11.0, 8.0, 10.0, 50.0) for label in labels})
        wider.symbols = case.symbols + 1

        plain, other = real(case), real(wider)

        assert [f | {"symbol": numbers[f["symbol"]]} for f in plain.fills] == other.fills, seed
        assert (plain.ends, plain.equity) == (other.ends, other.equity), seed


def mirrored(case, top):
    """Long for short: every price p becomes top - p. Costs and sizes of `case` know no price."""
    bars = {
        key: (top - opened, top - low, top - high, top - closed, volume)
        for key, (opened, high, low, closed, volume) in case.bars.items()
    }
    requests = []
    for row in case.requests:
        prices = {name: top - row[name] for name in ("limit", "stop", "stop_loss", "take_profit") if name in row}
        sides = {"side": -row["side"]} if "side" in row else {}
        sides |= {"amount": -row["amount"]} if row["kind"] == "target" else {}
        requests.append(row | prices | sides)
    path = {"ohlc": "olhc", "olhc": "ohlc"}
    execution = case.execution | {"intrabar": path.get(case.execution["intrabar"], case.execution["intrabar"])}
    return replace(case, bars=bars, requests=requests, execution=execution)


def without_prices_in_costs(case):
    """The case with costs by tick and unit alone, sizes in units, and no rule that knows a direction."""
    same = ("bps", "impact", "rate", "round", "cash", "leverage", "maintenance", "commission", "size")
    execution = {n: v for n, v in case.execution.items() if not any(word in n for word in same)}
    fees = {n: v for n, v in case.execution.get("commission", {}).items() if n in ("per_order", "per_unit", "minimum")}
    execution |= {"commission": fees, "cash": "none", "size_unit": "units", "size_amount": 10.0}
    if execution.get("intrabar", "stop_first") == "adaptive":
        execution["intrabar"] = "stop_first"
    execution.setdefault("intrabar", "stop_first")
    if execution["intrabar"] in ("ohlc", "olhc"):
        # An order at the open itself lies on neither side of it.
        execution |= {n: "at" for n in ("limit_touch", "stop_touch") if execution.get(n) == "through"}
    requests = []
    for row in case.requests:
        if row.get("unit", "units") == "units" and min(row.get("limit", 1.0), 1.0) > 0.0:
            # Fractions of a price know its height.
            plain = {
                n: 12 * TICK if n in ("trail", "leg_trail") else None for n, v in row.items() if isinstance(v, tuple)
            }
            requests.append({n: v for n, v in (row | plain).items() if v is not None})
    limits = {
        n: case.limits[n] for n in ("flat_by", "restricted", "max_open_positions", "max_daily_loss") if n in case.limits
    }
    return replace(case, execution=execution, requests=requests, limits=limits)


@some
def test_long_and_short_are_mirror_images_where_costs_are(seeds):
    for seed in seeds:
        case, top = without_prices_in_costs(generated(seed)), 256.0
        names = ("label", "symbol", "quantity", "commission", "rule", "ambiguous")

        plain, other = real(case), real(mirrored(case, top))

        told = [([f[n] for n in names], f["side"], f["price"], f["reference"]) for f in plain.fills]
        assert told == [
            ([f[n] for n in names], -f["side"], top - f["price"], top - f["reference"]) for f in other.fills
        ], seed
        assert plain.ends == other.ends, seed
        assert [worth for _, worth in plain.equity] == [worth for _, worth in other.equity], seed


@some
def test_a_run_that_stops_between_sessions_and_goes_on_is_the_run_that_did_not(seeds):
    for seed in seeds:
        case = generated(seed)
        cuts = [cut for cut in range(1, len(case.days)) if (seed + cut) % 3]

        assert real(case, session_cuts=cuts) == real(case), seed


@some
def test_a_run_that_stops_at_any_label_and_goes_on_is_the_run_that_did_not(seeds):
    for seed in seeds:
        case = generated(seed)
        count = sum(len(day.labels) for day in case.days)
        cuts = random.Random(seed).sample(range(1, count), min(3, count - 1)) if count > 1 else []

        assert real(case, label_cuts=cuts) == real(case), seed
