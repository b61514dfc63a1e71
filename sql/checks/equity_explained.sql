-- equity_explained: a session's P&L is what was realised, the change of unrealised P&L, and costs, to 1e-9 of what was moved.
with held as (
    select session, sum(unrealized_pnl) as unrealized, sum(abs(value)) as value from positions group by session
),
steps as (
    select
        session,
        pnl,
        realized_pnl - fees + interest - borrow as booked,
        coalesce(unrealized, 0.0) - coalesce(lag(unrealized) over (order by session), 0.0) as unrealized_change,
        abs(start_equity) + turnover + coalesce(value, 0.0) as scale
    from session_equity
    left join held using (session)
)
select session, pnl, booked, unrealized_change
from steps
where abs(pnl - booked - unrealized_change) > 1e-9 * scale
