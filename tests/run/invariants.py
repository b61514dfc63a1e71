"""An event strategy that asserts at every moment of a session what the seed system's author asked of every moment.

It trades nothing. What it holds SessionData against are the rows of the store's files, counted here anew: SOURCE is set
by the test before the run. The numbers in the assertions' comments are those of the list in test_invariants.py.
"""

from bisect import bisect_right

MINUTE = 60_000_000
WIDTHS = {"5m": 5 * MINUTE, "15m": 15 * MINUTE}
# {date: {symbol: [(timestamp, open, high, low, close, volume), ...]}}, and {date: (open_at, close_at, is_early_close)}.
SOURCE, HOURS = {}, {}
# {(symbol, timestamp): (volume, high, low)}: what is known from elsewhere of some moments.
RECORDED = {}
# Counted over the runs, so that a test knows that something was looked at.
LOOKED = {"bars": 0, "labels": 0, "derived": 0, "missing": 0}


class Symbol:
    """What is expected of a symbol at a moment, moved on bar by bar."""

    def __init__(self, rows, hours):
        self.rows, (self.open_at, self.close_at, _) = rows, hours
        self.known = [row[0] + MINUTE for row in rows]
        self.regular = [row[0] for row in rows if self.open_at <= row[0] < self.close_at]
        self.volume, self.high, self.low, self.traded, self.count = 0.0, None, None, 0.0, 0

    def advance(self, clock):
        for _, _, high, low, close, volume in self.rows[self.count : bisect_right(self.known, clock)]:
            self.volume += volume
            self.traded += (high + low + close) / 3.0 * volume
            self.high = high if self.high is None else max(self.high, high)
            self.low = low if self.low is None else min(self.low, low)
            self.count += 1

    def expected(self, clock):
        return max(min(clock, self.close_at) - self.open_at, 0) // MINUTE

    def missing(self, clock):
        """The labels of regular hours that are over and have no bar."""
        due = range(self.open_at, self.open_at + self.expected(clock) * MINUTE, MINUTE)
        return [label for label in due if label not in self.held]

    @property
    def held(self):
        if not hasattr(self, "_held"):
            self._held = set(self.regular)
        return self._held

    def wider(self, width, clock):
        """The bars of an interval that are over, made of the source's rows that are in them."""
        windows = {}
        for at, *prices in self.rows[: self.count]:
            windows.setdefault(self.open_at + (at - self.open_at) // width * width, []).append(prices)
        return [
            (start, bars[0][0], max(b[1] for b in bars), min(b[2] for b in bars), bars[-1][3], sum(b[4] for b in bars))
            for start, bars in windows.items()
            if start + width <= clock
        ]


class Invariants:
    """Asserts; see the module's text."""

    def on_session_start(self, data, desk):
        day = str(data.session.date)
        assert (data.session.open_at, data.session.close_at, data.session.is_early_close) == HOURS[day]  # 6
        self.symbols = {symbol: Symbol(rows, HOURS[day]) for symbol, rows in SOURCE[day].items()}
        self.previous, self.clock, self.told, self.before = data.clock, data.clock, dict.fromkeys(self.symbols, 0), {}
        self.derived = {}
        for symbol in self.symbols:  # 33
            assert data.get_latest_bar(symbol) is None
            assert data.get_bar_count(symbol) == data.get_bar_count(symbol, "5m") == 0
            assert (data.session_volume(symbol), data.session_high(symbol), data.session_low(symbol)) == (
                0.0,
                None,
                None,
            )

    def on_bar(self, bar, data, desk):
        assert data.clock >= self.clock  # 1
        if data.clock > self.clock:
            self.look(data)
            self.previous, self.clock = self.clock, data.clock
        own = self.symbols[bar.symbol]
        expected = own.rows[self.told[bar.symbol]]  # 12, 13, 36: the next of the source, none left out or told twice
        assert tuple(bar)[1:7] == expected
        self.told[bar.symbol] += 1
        assert bar.known_at == bar.timestamp + MINUTE == data.clock  # 3, 4, 5, 16
        assert bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high  # 26
        assert bar.volume >= 0.0  # 20
        assert self.told[bar.symbol] == own.count == data.get_bar_count(bar.symbol)  # 13, 27
        LOOKED["bars"] += 1

    def look(self, data):
        """Every symbol at the first bar of a label, whether it has a bar there or not."""
        assert data.is_session_active()  # 8
        assert data.get_active_symbols() == sorted(self.symbols)  # 9
        for symbol, own in self.symbols.items():
            own.advance(data.clock)
            self.look_at(symbol, own, data)
        LOOKED["labels"] += 1

    def look_at(self, symbol, own, data):
        metrics, latest = data.get_session_metrics(symbol), data.get_latest_bar(symbol)
        assert metrics.bars == own.count == data.get_bar_count(symbol)  # 10, 11, 27, 28
        assert (metrics.session_volume, metrics.session_high, metrics.session_low) == (own.volume, own.high, own.low)
        if own.count:
            assert tuple(latest)[1:7] == own.rows[own.count - 1]  # 14, 15, 17, 31
            assert latest.known_at <= data.clock  # 5, 16
            assert metrics.last_update == latest.timestamp  # 31
            bars = data.get_bars(symbol)
            assert bars.timestamp[0] == own.rows[0][0]  # 30
            assert (bars.timestamp[1:] > bars.timestamp[:-1]).all()  # 12
            assert metrics.session_low <= metrics.session_high  # 26
            assert metrics.session_vwap == (own.traded / own.volume if own.volume else None)
            self.look_back(symbol, metrics)
        wider = {name: own.wider(width, data.clock) for name, width in WIDTHS.items()} if self.is_due(data) else {}
        for name, bars in wider.items():
            seen = data.get_bars(symbol, name)
            assert list(zip(*(column.tolist() for column in seen), strict=True)) == bars  # 37 to 42
            if not own.missing(data.clock) and own.rows[0][0] >= own.open_at:
                assert len(bars) == metrics.bars // (WIDTHS[name] // MINUTE)  # 38
        self.look_for_gaps(symbol, own, metrics, data)

    def look_back(self, symbol, metrics):
        """Nothing that counts up goes down."""
        before = self.before.get(symbol)
        if before is not None:
            assert metrics.bars - before.bars in (0, 1)  # 27, 28
            assert metrics.session_volume >= before.session_volume  # 21
            assert metrics.session_high >= before.session_high  # 23
            assert metrics.session_low <= before.session_low  # 24
            if metrics.bars == before.bars:
                assert metrics[:5] == before[:5]  # 22, 25
        self.before[symbol] = metrics
        known = RECORDED.get((symbol, metrics.last_update))
        if known is not None:
            assert (metrics.session_volume, metrics.session_high, metrics.session_low) == known

    def look_for_gaps(self, symbol, own, metrics, data):
        expected = own.expected(data.clock)
        present = sum(1 for at in own.regular[: own.count] if at + MINUTE <= data.clock)
        quality = 100.0 * present / expected if expected else 100.0
        assert metrics.quality_pct == data.get_quality_metric(symbol) == quality  # 43, 44
        assert 0.0 <= quality <= 100.0
        gaps = data.get_gaps(symbol)
        assert sum(gap.missing_bars for gap in gaps) == expected - present  # 45
        if self.is_due(data):
            labels = [at for g in gaps for at in range(g.first_missing, g.last_missing + MINUTE, MINUTE)]
            assert labels == own.missing(data.clock)  # 46
        LOOKED["missing"] += expected - present

    @staticmethod
    def is_due(data):
        """Every fifth minute: there bars of wider intervals end."""
        return data.clock % (5 * MINUTE) == 0 or data.clock >= data.session.close_at

    def on_derived_bar(self, bar, interval, data, desk):
        width = WIDTHS[interval]
        # With the first label that comes then: outside of regular hours there need not be one when the bar is over.
        assert self.previous < bar.known_at == bar.timestamp + width <= data.clock  # 40
        assert (bar.timestamp - data.session.open_at) % width == 0  # 39
        assert tuple(bar)[1:7] in self.symbols[bar.symbol].wider(width, data.clock)  # 41, 42
        self.derived.setdefault((bar.symbol, interval), []).append(bar)
        LOOKED["derived"] += 1

    def on_quality(self, symbol, quality_pct, data, desk):
        own = self.symbols[symbol]
        own.advance(data.clock)
        assert data.clock - MINUTE in own.missing(data.clock)  # 46
        assert quality_pct == 100.0 * (own.expected(data.clock) - len(own.missing(data.clock))) / own.expected(
            data.clock
        )

    def on_session_end(self, data, desk):
        for symbol, own in self.symbols.items():
            assert self.told[symbol] == own.count == len(own.rows) == data.get_bar_count(symbol)  # 32, 34, 36
            if own.rows:
                metrics = data.get_session_metrics(symbol)
                assert metrics.session_volume == sum(row[5] for row in own.rows)  # 34, 35
                assert metrics.session_high == max(row[2] for row in own.rows)
                assert metrics.session_low == min(row[3] for row in own.rows)
            for name, width in WIDTHS.items():
                told = [tuple(bar)[1:7] for bar in self.derived.get((symbol, name), [])]
                assert told == own.wider(width, data.clock)  # 42
