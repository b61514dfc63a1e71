-- pnl_by_rule: one row per rule that made prices: what its fills realised, cost, and what the bar left open about them.
select
    rule,
    count(*) as fills,
    count(*) filter (ambiguous) as ambiguous_fills,
    sum(notional) as turnover,
    sum(realized_pnl) as realized_pnl,
    sum(commission) as fees,
    sum(slippage) as slippage,
    sum(-side * quantity * (worst_price - price)) as to_worst,
    sum(-side * quantity * (best_price - price)) as to_best,
    run_id
from fills
group by rule, run_id
