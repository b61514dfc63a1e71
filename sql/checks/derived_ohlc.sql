-- derived_ohlc: a derived bar's prices are finite with low <= open, close <= high, and its volume is finite and not negative.
select session, symbol, interval, timestamp, open, high, low, close, volume
from derived_bars
where
    not (isfinite(open) and isfinite(high) and isfinite(low) and isfinite(close) and isfinite(volume))
    or high < greatest(open, close, low)
    or low > least(open, close)
    or volume < 0
