-- summary_vwap: vwap is null exactly without volume, and otherwise lies between low and high.
-- A mean of n rounded terms may leave [low, high] by about n units in the last place: 2^-52 a bar covers it, and the
-- factor 2 the bars that are not counted.
select session, symbol, vwap, low, high, volume
from session_summary
where
    (vwap is null) <> (volume = 0)
    or not coalesce(isfinite(vwap), true)
    or vwap > high + greatest(abs(high), abs(low)) * (2 * (expected_bars + pre_bars + post_bars) + 8) * 2.3e-16
    or vwap < low - greatest(abs(high), abs(low)) * (2 * (expected_bars + pre_bars + post_bars) + 8) * 2.3e-16
