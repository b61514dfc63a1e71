-- quality_pnl: one row per flag of the bars behind fills: the trades it touches, what they earned, and their share of all P&L.
-- Shares are of the sum of absolute P&L; a trade may bear several flags, `flagged` bears any of the first three.
with marked as (
    select
        trade_fills.trade_id,
        run_id,
        bool_or(gap_adjacent) as gap_adjacent,
        bool_or(is_stale) as stale,
        bool_or(is_defective) as defective,
        bool_or(gap_adjacent or is_stale or is_defective) as flagged,
        bool_or(ambiguous) as ambiguous
    from trade_fills
    join fills using (run_id, fill_id)
    group by trade_fills.trade_id, run_id
),
long as (
    select flag, trade_id, run_id
    from marked
    unpivot (is_set for flag in (gap_adjacent, stale, defective, flagged, ambiguous))
    where is_set
)
select
    flag,
    count(*) as trades,
    coalesce(sum(pnl), 0.0) as pnl,
    coalesce(sum(abs(pnl)), 0.0) / nullif((select sum(abs(pnl)) from trades), 0.0) as pnl_share_frac,
    run_id
from long
join trades using (run_id, trade_id)
group by flag, run_id
