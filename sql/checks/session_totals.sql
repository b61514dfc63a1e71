-- session_totals: a session's equity and cash are those of its last label; fees, turnover and realised P&L are its fills' sums.
with ends as (
    select session, arg_max(equity, timestamp) as equity, arg_max(cash, timestamp) as cash from equity group by session
),
sums as (
    select
        session,
        sum(commission) as fees,
        sum(notional) as turnover,
        sum(realized_pnl) as realized_pnl,
        sum(abs(realized_pnl)) as moved
    from fills
    group by session
)
select session, stated.equity, ends.equity as last_equity, stated.cash, ends.cash as last_cash
from session_equity stated
full join ends using (session)
left join sums using (session)
where
    stated.equity is distinct from ends.equity
    or stated.cash is distinct from ends.cash
    or abs(stated.fees - coalesce(sums.fees, 0.0)) > 1e-9 * abs(stated.fees)
    or abs(stated.turnover - coalesce(sums.turnover, 0.0)) > 1e-9 * stated.turnover
    or abs(stated.realized_pnl - coalesce(sums.realized_pnl, 0.0))
        > 1e-9 * (abs(stated.realized_pnl) + coalesce(moved, 0.0))
