-- running_values: running values are finite, volume is not negative, low <= high, and vwap lies between them once there is volume.
-- A mean of n rounded terms may leave [low, high] by about n units in the last place; 2^-52 a bar covers it.
select session, symbol, timestamp, running_volume, running_high, running_low, running_vwap
from running
where
    not (isfinite(running_volume) and isfinite(running_high) and isfinite(running_low))
    or running_volume < 0
    or running_low > running_high
    or (running_vwap is null) <> (running_volume = 0)
    or not coalesce(isfinite(running_vwap), true)
    or running_vwap > running_high + greatest(abs(running_high), abs(running_low)) * (running_bars + 8) * 2.3e-16
    or running_vwap < running_low - greatest(abs(running_high), abs(running_low)) * (running_bars + 8) * 2.3e-16
