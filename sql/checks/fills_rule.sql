-- fills_rule: a fill that its rule says to be at the open, the close or the middle of its bar is there.
select session, fill_id, symbol, rule, reference_price, bar_open, bar_high, bar_low, bar_close
from fills
where
    rule in ('market_open', 'market_on_open', 'limit_at_open', 'stop_at_open', 'touched_at_open', 'end_open')
    and reference_price <> bar_open
    or rule in ('market_close', 'market_on_close', 'same_close', 'stop_at_close', 'end_close', 'flat_by')
    and reference_price <> bar_close
    or rule = 'market_mid' and abs(reference_price - (bar_high + bar_low) / 2.0) > 1e-12 * bar_high
