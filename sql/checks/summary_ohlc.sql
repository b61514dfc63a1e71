-- summary_ohlc: a session's prices are finite with low <= open, close <= high, and its volumes are finite and not negative.
select session, symbol, open, high, low, close, volume, post_volume
from session_summary
where
    not coalesce(isfinite(open) and isfinite(high) and isfinite(low) and isfinite(close), true)
    or high < greatest(open, close, low)
    or low > least(open, close)
    or not (isfinite(volume) and isfinite(post_volume))
    or volume < 0
    or post_volume < 0
    or (post_bars = 0 and post_volume <> 0)
