-- trade_fills: one row per fill and trade it belongs to: a fill that reverses a position ends one trade and opens the next.
-- Its commission is shared by units.
with numbered as (
    select
        *,
        lag(trade_id) over (partition by run_id, symbol order by fill_id) as trade_before,
        opened_quantity > 0.0 and closed_quantity > 0.0 as is_reversing
    from fills
)
select
    session,
    trade_id,
    fill_id,
    symbol,
    filled_at,
    price,
    opened_quantity,
    case when is_reversing then 0.0 else closed_quantity end as closed_quantity,
    case when is_reversing then commission * (opened_quantity / quantity) else commission end as commission,
    case when is_reversing then 0.0 else realized_pnl end as realized_pnl,
    run_id
from numbered
union all
select
    session,
    trade_before,
    fill_id,
    symbol,
    filled_at,
    price,
    0.0,
    closed_quantity,
    commission * (closed_quantity / quantity),
    realized_pnl,
    run_id
from numbered
where is_reversing
