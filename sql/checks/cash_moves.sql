-- cash_moves: a fill changes the cash of the fill before it in the session by its value and its commission, to 1e-12.
with steps as (
    select
        session,
        fill_id,
        lag(cash_after) over (partition by session order by fill_id) as cash_before,
        -side * quantity * price - commission as change,
        cash_after,
        notional
    from fills
)
select session, fill_id, cash_before, change, cash_after
from steps
where abs(cash_after - (cash_before + change)) > 1e-12 * (abs(cash_before) + notional + abs(change))
