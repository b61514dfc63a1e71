"""Sample strategies told bar by bar, and a scanner: what test_parity and test_replaying hold against the samples."""

from dataclasses import dataclass

from backtester.strategy import samples


@dataclass(frozen=True)
class VwapReversion:
    """The sample of that name."""

    below_bps: float = 30.0
    minimum_bars: int = 30
    stop_bps: float = 50.0

    def on_bar(self, bar, data, desk):
        own = data.get_symbol_data(bar.symbol)
        vwap, bars = own.vwap, own.count()
        if vwap is None:
            return
        if bar.close >= vwap:
            desk.exit_(bar.symbol)
        if bar.close < vwap * (1.0 - self.below_bps / 10_000.0) and bars >= self.minimum_bars:
            desk.enter(bar.symbol, 1, stop_loss_frac=self.stop_bps / 10_000.0)


@dataclass(frozen=True)
class SmaCross(samples.Cross):
    """The sample of that name; averages of the run's indicators."""

    def on_bar(self, bar, data, desk):
        keys = ("fast", "slow", "fast_before", "slow_before")
        fast, slow, fast_before, slow_before = (data.get_indicator(bar.symbol, key) for key in keys)
        if None in (fast, slow, fast_before, slow_before):
            return
        if fast > slow and fast_before <= slow_before:
            desk.enter(bar.symbol, 1)
        elif fast < slow and fast_before >= slow_before:
            if self.short:
                desk.enter(bar.symbol, -1)
            else:
                desk.exit_(bar.symbol)


class AboveVwap:
    """Selects what trades above its session's VWAP."""

    def select(self, now):
        return now["close"] > now["running_vwap"]
