-- fills_in_bar: a fill's price before slippage lies within its bar, but for prices that limit_price and stop_price set elsewhere.
-- `remainder` fills are a tick worse than the first fill; `limit` and `stop` take the order's own price, gap or not.
select session, fill_id, symbol, rule, reference_price, bar_low, bar_high, bar_open, bar_close
from fills
left join execution_settings using (run_id)
where
    (
        bar_high < greatest(bar_open, bar_close)
        or bar_low > least(bar_open, bar_close)
        or reference_price
            > bar_high + 1e-12 * bar_high + case when rule = 'remainder' then coalesce(tick, 0.0) else 0.0 end
        or reference_price
            < bar_low - 1e-12 * bar_low - case when rule = 'remainder' then coalesce(tick, 0.0) else 0.0 end
    )
    and not (rule = 'limit' and coalesce(limit_price, '') = 'limit')
    and not (rule = 'stop' and coalesce(stop_price, '') = 'stop')
