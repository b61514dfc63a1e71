"""Made series for the indicators' tests: the same bars as a `Series` and as the twin's decimals."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from hypothesis import strategies as st

from backtester.arrays import Bars
from backtester.data.columns import text
from backtester.features.catalog import indicators, uses_of
from backtester.features.indicators import indicator_columns
from backtester.features.series import Series
from tests.reference_indicators import TWINS, Bar, chosen

MINUTE = 60_000_000
YEAR = 98_280.0
# A use of every indicator with parameters small enough that a few dozen bars warm it up, and of each method.
SMALL = {
    "macd": [{"fast": 3, "slow": 5, "signal": 3}, {"fast": 5, "slow": 3, "signal": 1}],
    "ultimate_osc": [{"short": 2, "medium": 3, "long": 5}, {"short": 4, "medium": 2, "long": 1}],
    "stochastic": [{"period": 5, "smooth": 3}, {"period": 4, "method": "slow", "k_smooth": 2, "smooth": 4}],
    "rsi": [{"period": 4}, {"period": 5, "method": "cutler"}],
    "atr": [{"period": 4}, {"period": 5, "method": "simple"}],
    "natr": [{"period": 4}, {"period": 5, "method": "simple"}],
    "keltner": [{"period": 6, "atr_period": 3}, {"period": 3, "atr_period": 5, "method": "simple", "multiplier": 1.5}],
    "vwap": [{}, {"period": 5}],
    "opening_range": [{"minutes": 5}, {"minutes": 1}],
    "swing_high": [{"period": 2}],
    "swing_low": [{"period": 2}],
    "sma": [{"period": 5}, {"period": 4, "input": "typical"}, {"period": 1}, {"period": 3, "input": "volume"}],
    "ema": [{"period": 5}, {"period": 1}, {"period": 3, "input": "median"}],
    "stddev": [{"period": 6}, {"period": 3, "input": "mean"}, {"period": 1}],
    "supertrend": [{"period": 4, "multiplier": 1.7}],
    "twap": [{}],
    "obv": [{}],
    "pvt": [{}],
    "pivot_points": [{}],
}


def small_uses(name, **more):
    """The uses of one indicator that SMALL lists, two periods where it lists none."""
    low = max([int(each.low) for each in indicators()[name].parameters if each.name == "period"], default=1)
    listed = SMALL.get(name, [{"period": 6}, {"period": low}])
    raw = [{"name": name, "interval": "1m", "key": f"{name}{k}", **more, **each} for k, each in enumerate(listed)]
    uses, problems = uses_of(raw, run_interval="1m")
    assert not problems
    return uses


def twin(use, bars):
    """What the twin says of one symbol's bars, floats and NaN, [outputs, bars]."""
    values = {"bars_a_year": YEAR, **use.values}
    rows = TWINS[use.name](bars, values, chosen(bars, use.input))
    numbers = [[np.nan if value is None else float(value) for value in row] for row in rows]
    return np.array(numbers, dtype=np.float64).reshape(len(bars), len(use.columns)).T


@st.composite
def stretches(draw, *, symbols=(1, 3), most=40):
    """One list of twin's bars per symbol: prices in cents or finer, flat stretches, volumes of 0 and fractions."""
    count, seed = draw(st.integers(*symbols)), draw(st.integers(0, 2**32 - 1))
    step = draw(st.sampled_from([0, 1, 3, 40]))
    random = np.random.default_rng(seed)
    grain = draw(st.sampled_from([Decimal("0.01"), Decimal("0.0001"), Decimal("1")]))
    out = []
    for _ in range(count):
        rows, level = [], int(random.integers(500, 30_000))
        for _ in range(draw(st.integers(0, most))):
            level = max(50, level + int(random.integers(-step, step + 1)) * int(random.random() < 0.8))
            low, high = level - int(random.integers(0, step + 1)), level + int(random.integers(0, step + 1))
            opened, closed = random.integers(low, high + 1, 2).tolist()
            volume = random.choice(["0", "100", "0.1", "1234.567", "98765"])
            rows.append(Bar(*(value * grain for value in (opened, high, low, closed)), Decimal(str(volume))))
        out.append(rows)
    return out


def made(stretch, **more):
    """A Series of one list of bars per symbol; the k-th bar is labelled k minutes after the open."""
    counts = [len(rows) for rows in stretch]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    place = np.concatenate([np.arange(count) for count in counts]).astype(np.int64) if counts else np.empty(0, int)
    symbol = np.repeat(np.arange(len(stretch)), counts)
    order = np.empty(len(place), dtype=np.int64)
    order[np.lexsort((symbol, place))] = np.arange(len(place))
    columns = [np.array([float(bar[k]) for rows in stretch for bar in rows]) for k in range(5)]
    zeros = np.zeros(len(place), dtype=np.int64)
    series = Series(
        interval="1m",
        symbols=text([f"S{k}" for k in range(len(stretch))]),
        offsets=offsets,
        order=order,
        place=np.argsort(order),
        bars=Bars(*columns),
        timestamps=place * MINUTE,
        known_at=(place + 1) * MINUTE,
        elapsed=(place + 1) * MINUTE,
        missing=zeros,
        hollow=zeros,
        missing_after=np.zeros(len(stretch), dtype=np.int64),
        is_partial=np.zeros(len(place), dtype=np.bool_),
    )
    return series._replace(**more)


def placed(stretch, session=0):
    """The bars with the session and the instants `made` gives them."""
    return [[bar._replace(session=session, elapsed=(k + 1) * MINUTE) for k, bar in enumerate(rows)] for rows in stretch]


def run_sessions(uses, sessions):
    """[outputs, rows] per use and symbol over sessions run one after another with the state handed on."""
    state, parts = None, []
    for session in sessions:
        series = made(session)
        computed = indicator_columns(uses, {"1m": series}, state, bars_a_year={"1m": YEAR})
        state = computed.state
        parts.append((series.offsets, computed.values))
    return {
        use.key: [
            np.concatenate(
                [np.stack([values[c][offsets[s] : offsets[s + 1]] for c in use.columns]) for offsets, values in parts],
                axis=1,
            )
            for s in range(len(sessions[0]))
        ]
        for use in uses
    }


def same_bits(a, b):
    """True if two arrays hold the same bits, any NaN equal to any."""
    return a.shape == b.shape and bool(np.all((a == b) | (np.isnan(a) & np.isnan(b))))
