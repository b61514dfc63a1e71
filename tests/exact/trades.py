"""Trades from flat to flat, what fills realise, and how far a trade went for and against its holder."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction


@dataclass
class Trade:
    """One trade; `worst` and `best` are its mae and mfe."""

    id: int
    symbol: int
    side: int
    since: int
    until: int | None = None
    bars: int = 0
    entries: int = 0
    exits: int = 0
    most: Fraction = Fraction(0)
    entry_units: Fraction = Fraction(0)
    entry_value: Fraction = Fraction(0)
    exit_units: Fraction = Fraction(0)
    exit_value: Fraction = Fraction(0)
    paid: Fraction = Fraction(0)
    flows: Fraction = Fraction(0)
    worst: Fraction = Fraction(0)
    best: Fraction = Fraction(0)
    lots: list = field(default_factory=list)  # [units, price], oldest first

    def sees(self, result):
        """Stretch mae and mfe by one gross result."""
        self.worst, self.best = min(self.worst, result), max(self.best, result)


class Trades:
    """Open trades by symbol, and those that ended in the order of their ends."""

    def __init__(self, *, fifo):
        self.fifo, self.open, self.ended, self.count = fifo, {}, [], 0
        self.moved = {}  # the label of a symbol's latest fill after its bar's open

    def fill(self, symbol, side, quantity, price, commission, before, label, *, at_open):
        """(id of the trade, realised P&L) of one fill."""
        if not at_open:
            self.moved[symbol] = label
        realized, trade = Fraction(0), self.open.get(symbol)
        opening = quantity
        if before * side < 0:
            closing = min(quantity, abs(before))
            opening = quantity - closing
            realized = self._realized(trade, closing, price)
            trade.exits += 1
            trade.exit_units += closing
            trade.exit_value += closing * price
            trade.paid += commission * closing / quantity
            trade.flows -= side * closing * price
            if closing == abs(before):
                trade.until = label
                trade.sees(trade.flows)
                self.ended.append(self.open.pop(symbol))
        if opening:
            trade = self.open.get(symbol)
            if trade is None:
                trade = self.open[symbol] = Trade(self.count, symbol, side, label)
                self.count += 1
            trade.entries += 1
            trade.entry_units += opening
            trade.entry_value += opening * price
            trade.paid += commission * opening / quantity
            trade.flows -= side * opening * price
            trade.lots.append([opening, price])
            trade.most = max(trade.most, sum(units for units, _ in trade.lots))
        return trade.id, realized

    def _realized(self, trade, closing, price):
        realized, left = Fraction(0), closing
        held = sum(units for units, _ in trade.lots)
        average = sum(units * at for units, at in trade.lots) / held
        if not self.fifo:
            # The position keeps its average: every unit left has it.
            trade.lots = [[held - closing, average]]
            return closing * (price - average) * trade.side
        while left:
            units, at = trade.lots[0]
            taken = min(units, left)
            realized += taken * (price - at) * trade.side
            left -= taken
            trade.lots[0][0] -= taken
            if trade.lots[0][0] == 0:
                trade.lots.pop(0)
        return realized

    def mark(self, symbol, position, bar, label):
        """A bar at whose close the position is held."""
        trade = self.open[symbol]
        trade.bars += 1
        whole = self.moved.get(symbol) != label
        for price in (bar.low, bar.high) if whole else (bar.close,):
            trade.sees(trade.flows + position * price)
