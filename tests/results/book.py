"""A small account kept by hand: fills in plain words, and all that the ledger writes about them worked out from it."""

from __future__ import annotations

from datetime import date, datetime, timedelta

MINUTE = timedelta(minutes=1)
ENDINGS = ("filled", "cancelled", "expired", "rejected", "replaced")


class Book:
    """Cash, positions and trades over sessions; `bars` is {(session, symbol): rows of tests.results.conftest}."""

    def __init__(self, bars: dict, opens: dict[date, datetime], labels: int, *, capital: float) -> None:
        self.bars, self.opens, self.labels, self.capital = bars, opens, labels, capital
        self.cash = self.equity = capital
        self.held: dict[str, dict] = {}
        self.marks: dict[str, float] = {}
        self.counts = {"order": 0, "fill": 0, "trade": 0}
        self.seqs: dict[int, int] = {}
        self.last_at: dict[int, datetime] = {}

    def begin(self, session: date, *, interest: float = 0.0, borrow: float = 0.0) -> None:
        """A new session: carrying costs, and empty tables."""
        self.session, self.start = session, self.equity
        self.cash += interest - borrow
        names = ("signals", "orders", "order_events", "fills", "trades", "positions", "equity", "session_equity")
        self.tables: dict[str, list[dict]] = {name: [] for name in names}
        self.totals = {"fees": 0.0, "interest": interest, "borrow": borrow, "turnover": 0.0, "realized_pnl": 0.0}
        self.minute = 0

    def at(self, minute: int) -> datetime:
        """The label of a minute of this session."""
        return self.opens[self.session] + minute * MINUTE

    def bar(self, symbol: str, minute: int) -> dict | None:
        """The bar of a minute, None if there is none."""
        return next((row for row in self.bars[self.session, symbol] if row["minute"] == minute), None)

    def signal(self, minute: int, symbol: str, kind: str, **values) -> None:
        """A request decided on a minute's bars."""
        row = {"timestamp": self.at(minute), "known_at": self.at(minute + 1), "symbol": symbol, "kind": kind}
        row |= {"unit": None, "side": 0, "amount": None, "order_type": None, "rank": 0.0}
        self.tables["signals"].append(row | {"limit_price": None, "stop_price": None} | values)

    def order(self, minute: int, symbol: str, side: int, quantity: float | None, **values) -> int:
        """An order decided on a minute's bars, submitted and accepted, or refused with `reason`."""
        reason = values.pop("reason", None)
        at = values.pop("submitted_at", self.at(minute + 1))
        row = {"order_id": self.counts["order"], "timestamp": self.at(minute), "submitted_at": at, "symbol": symbol}
        row |= {"side": side, "order_type": "market", "tif": "gtc", "until": None, "quantity": quantity}
        row |= {"limit_price": None, "stop_price": None, "trail": None, "trail_is_frac": False, "role": "order"}
        self.tables["orders"].append(row | {"parent_id": None, "oco_group": None} | values)
        self.counts["order"] += 1
        self.event(row["order_id"], minute, at, "submitted")
        if reason:
            self.event(row["order_id"], minute, at, "rejected", reason=reason)
        else:
            self.event(row["order_id"], minute, at, "accepted")
        return row["order_id"]

    def event(self, order: int, minute: int, at: datetime, event: str, **values) -> None:
        """One step in the life of an order."""
        row = {"order_id": order, "seq": self.seqs.get(order, 0), "timestamp": self.at(minute), "happened_at": at}
        self.seqs[order] = row["seq"] + 1
        row |= {"event": event, "quantity": None, "price": None, "reason": None}
        self.tables["order_events"].append(row | values)

    def fill(self, order: dict | int, minute: int, quantity: float, reference: float, rule: str, **values) -> None:
        """A fill on a minute's bar: at its start if the rule is one of the open, else at its end."""
        self._mark(minute)
        symbol, side = values.pop("symbol"), values.pop("side")
        price, ends = values.pop("price", reference), values.pop("ends", True)
        commission, at = values.pop("commission", 1.0), self.at(minute if rule.endswith("open") else minute + 1)
        before = self.held.get(symbol, {"quantity": 0.0, "average": 0.0})
        closing = min(quantity, abs(before["quantity"])) if before["quantity"] * side < 0.0 else 0.0
        realized = -side * closing * (price - before["average"])
        self.cash += -side * quantity * price - commission
        trade, after = self._traded(symbol, side, quantity, price, commission, closing, realized, at)
        bar = self.bar(symbol, minute) or {}
        row = {"fill_id": self.counts["fill"], "order_id": order, "trade_id": trade, "symbol": symbol}
        row |= {"timestamp": self.at(minute), "filled_at": at, "side": side, "quantity": quantity, "price": price}
        row |= {"reference_price": reference, "commission": commission, "rule": rule, "ambiguous": False}
        row |= {"slippage": side * quantity * (price - reference), "worst_price": price, "best_price": price}
        row |= {"gap_adjacent": False, "is_stale": False, "is_defective": False, "realized_pnl": realized}
        row |= {"position_after": after, "cash_after": self.cash}
        row |= {f"bar_{name}": bar.get(name) for name in ("open", "high", "low", "close", "volume")}
        self.tables["fills"].append(row | values)
        self.counts["fill"] += 1
        self.event(order, minute, at, "filled" if ends else "partially_filled", quantity=quantity, price=price)
        self.totals["fees"] += commission
        self.totals["turnover"] += quantity * price
        self.totals["realized_pnl"] += realized

    def _traded(self, symbol, side, quantity, price, commission, closing, realized, at) -> tuple[int, float]:
        """Move the position and its trade; the trade the fill is of, and the position it leaves."""
        opening = quantity - closing
        if closing:
            held = self.held[symbol]
            share = commission if not opening else commission * (closing / quantity)
            held["quantity"] += side * closing
            held["exits"].append((closing, price))
            held["commission"] += share
            held["realized"] += realized
            if held["quantity"] == 0.0:
                self._end(symbol, at)
            elif not opening:
                return held["trade"], held["quantity"]
        if not opening:
            return held["trade"], 0.0
        share = commission if not closing else commission * (opening / quantity)
        if symbol not in self.held:
            self.held[symbol] = {"quantity": 0.0, "average": 0.0, "trade": self.counts["trade"], "since": at}
            self.held[symbol] |= {"side": side, "entries": [], "exits": [], "commission": 0.0, "realized": 0.0}
            self.counts["trade"] += 1
        held = self.held[symbol]
        units = abs(held["quantity"])
        held["average"] = (held["average"] * units + price * opening) / (units + opening)
        held["quantity"] += side * opening
        held["entries"].append((opening, price))
        held["commission"] += share
        return held["trade"], held["quantity"]

    def _end(self, symbol: str, at: datetime | None) -> None:
        """A row of trades: ended, or open at its mark with `at` None."""
        held = self.held[symbol] if at is None else self.held.pop(symbol)
        entered = sum(units * price for units, price in held["entries"])
        open_pnl = 0.0 if at else held["quantity"] * (self.marks[symbol] - held["average"])
        pnl = held["realized"] + open_pnl - held["commission"]
        left = sum(units * price for units, price in held["exits"])
        units = sum(units for units, _ in held["exits"])
        row = {"trade_id": held["trade"], "symbol": symbol, "side": held["side"], "entered_at": held["since"]}
        row |= {"exited_at": at, "quantity": max(units, abs(held["quantity"])), "commission": held["commission"]}
        row |= {"entry_price": entered / sum(units for units, _ in held["entries"]), "is_open": at is None}
        row |= {"exit_price": left / units if units else None, "pnl": pnl, "return_frac": pnl / entered}
        row |= {"mae": min(pnl, 0.0), "mfe": max(pnl, 0.0), "bars_held": 5}
        row |= {"entry_fills": len(held["entries"]), "exit_fills": len(held["exits"])}
        self.tables["trades"].append(row)

    def _mark(self, until: int) -> None:
        """Record the equity of every label before `until`, at closes."""
        while self.minute < until:
            for symbol in {symbol for _, symbol in self.bars}:
                bar = self.bar(symbol, self.minute)
                self.marks[symbol] = bar["close"] if bar else self.marks.get(symbol)
            values = [held["quantity"] * self.marks[symbol] for symbol, held in sorted(self.held.items())]
            self.equity = self.cash + sum(values)
            row = {"timestamp": self.at(self.minute), "known_at": self.at(self.minute + 1), "cash": self.cash}
            row |= {"equity": self.equity, "gross_exposure": sum(map(abs, values)), "net_exposure": sum(values)}
            self.tables["equity"].append(row | {"open_positions": len(values)})
            self.minute += 1

    def finish(self, *, is_last: bool) -> dict[str, list[dict]]:
        """The session's rows, sorted as the schema says."""
        self._mark(self.labels)
        for symbol, held in sorted(self.held.items()):
            mark, average = self.marks[symbol], held["average"]
            row = {"symbol": symbol, "quantity": held["quantity"], "average_price": average, "mark_price": mark}
            row |= {"value": held["quantity"] * mark, "unrealized_pnl": held["quantity"] * (mark - average)}
            self.tables["positions"].append(row | {"trade_id": held["trade"], "since": held["since"]})
            if is_last:
                self._end(symbol, None)
        row = {"start_equity": self.start, "equity": self.equity, "cash": self.cash} | self.totals
        self.tables["session_equity"].append(row)
        self.tables["order_events"].sort(key=lambda row: (row["order_id"], row["seq"]))
        self.tables["trades"].sort(key=lambda row: row["trade_id"])
        return self.tables
