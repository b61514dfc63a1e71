-- derived_prices: a symbol's derived bars of one interval give its session's open, high, low and close.
select
    session,
    symbol,
    interval,
    arg_min(derived_bars.open, timestamp) as derived_open,
    any_value(summary.open) as session_open_price,
    max(derived_bars.high) as derived_high,
    any_value(summary.high) as session_high,
    min(derived_bars.low) as derived_low,
    any_value(summary.low) as session_low,
    arg_max(derived_bars.close, timestamp) as derived_close,
    any_value(summary.close) as session_close_price
from derived_bars
join session_summary summary using (session, symbol)
group by session, symbol, interval
having
    derived_open is distinct from session_open_price
    or derived_high is distinct from session_high
    or derived_low is distinct from session_low
    or derived_close is distinct from session_close_price
