"""Every cell of the golden vectors that fill and cash rules decide, by an `[execution]` section alone."""

import datetime as dt

import pytest

from tests.execution.golden import BARS, CELLS, SECTIONS
from tests.execution.two_engines import MINUTE, Case, Day, exact, real

OPEN = 1_750_080_600_000_000
DAY = Day(dt.date(2025, 6, 16), [OPEN + k * MINUTE for k in range(8)], OPEN + 8 * MINUTE)


def fills(name, ledger):
    """The fills of one cell, and the position they leave."""
    cell = CELLS[name]
    section = SECTIONS[name.split("-")[0]] | dict(cell.rules)
    bars = {(k, 0): tuple(map(float, bar)) for k, bar in enumerate(BARS)}
    found = ledger(Case([DAY], bars, list(cell.requests), section)).fills
    return found, float(found[-1]["position"]) if found else 0.0


@pytest.mark.parametrize("ledger", [exact, real], ids=["exact", "ledger"])
@pytest.mark.parametrize("name", CELLS)
def test_golden_vector(name, ledger):
    cell = CELLS[name]

    found, held = fills(name, ledger)

    assert [(f["label"], f["side"], float(f["quantity"])) for f in found] == [f[:3] for f in cell.fills]
    for fill, (_, _, _, price, commission) in zip(found, cell.fills, strict=True):
        assert float(fill["price"]) == pytest.approx(price, rel=1e-12)
        assert commission is None or float(fill["commission"]) == pytest.approx(commission, rel=1e-9, abs=1e-12)
    assert cell.held is None or held == cell.held


def test_every_engine_has_its_cells():
    counts = {engine: sum(name.startswith(f"{engine}-") for name in CELLS) for engine in SECTIONS}

    assert counts == {
        "lean": 11, "backtrader": 12, "backtesting": 13, "zipline": 8,
        "vectorbt": 11, "nautilus": 12, "pybroker": 8, "raptorbt": 8,
    }  # fmt: skip
