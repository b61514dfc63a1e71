"""The checks before a commit: silent on sound sessions, and they find what the checks in SQL find in damaged ones."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from backtester.config.execution import Execution, Limits
from backtester.results import session_checks as subject
from tests.results import conftest
from tests.results.damage import FIRST, PLANTED, SECOND, Damage, fill
from tests.results.test_ledger_checks import damaged

# What a session by itself cannot show, or only SQL looks at.
VERIFY_ONLY = {"signals_values", "positions_marks", "events_carried", "orders_known"}
PRICES = [{"order_id": 8}, {"order_id": 9}]  # of orders, which the ledger has checked at their submission
START = subject.Before(conftest.CAPITAL, conftest.CAPITAL, {})


def faults(tables: Any, settings: dict[str, Any], session: Any) -> set[str]:
    """The checks that a session breaks, after the one before it as it was."""
    before = START if session == FIRST else subject.before_of(conftest.session_tables(FIRST))
    execution = {key: value for key, value in settings["execution"].items() if key in Execution.model_fields}
    limits = settings["limits"]
    opened = int(conftest._open(session).timestamp() * 1e6)
    terms = subject.Terms(Execution(**execution), Limits(**limits), opened, opened + conftest.LABELS * 60_000_000)
    return {text.partition(":")[0] for text in subject.session_faults(tables[session], before, terms)}


@pytest.mark.parametrize("session", [FIRST, SECOND])
def test_a_sound_session_has_no_fault(session: Any, small_tables: Any) -> None:
    assert faults(small_tables, tomllib.loads(conftest.CONFIG), session) == set()


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: f"{planted.check}-{planted.table}")
def test_damage_that_sql_finds_is_found_before_the_commit(planted: Damage, small_tables: Any) -> None:
    settings = damaged(small_tables, planted)

    found = faults(small_tables, settings, planted.session)

    # An order without its first event is one whose events are not known, too; a label twice holds its cash twice.
    assert found <= {planted.check, "orders_submitted", "equity_cash"} | planted.others
    is_earlier = planted.check == "trades_pnl" and planted.where == fill(5)  # a trade of the session before ends
    is_price = planted.check == "orders_values" and planted.where in PRICES
    assert (planted.check in found) == (planted.check not in VERIFY_ONLY and not is_earlier and not is_price)


def test_a_session_without_a_table_is_one_without_rows() -> None:
    tables = {name: conftest.session_tables(FIRST)[name] for name in ("equity", "session_equity")}

    found = faults({FIRST: tables}, tomllib.loads(conftest.CONFIG), FIRST)

    assert {"equity_cash", "session_totals", "positions_equity"} <= found
