-- profit_metrics: one row per metric of the P&L that flagged fills and assumptions touch, and its value; null where there is none.
with bounds as (
    select
        count(*) filter (ambiguous) as ambiguous_fills,
        coalesce(fsum(-side * quantity * (worst_price - price)) filter (ambiguous), 0.0) as to_worst,
        coalesce(fsum(-side * quantity * (best_price - price)) filter (ambiguous), 0.0) as to_best
    from fills
),
flags as (
    select *, is_gap_adjacent or is_stale or is_defective as is_flagged
    from trade_flags
    where (select bool_and(isfinite(pnl)) from trade_flags)
),
shares as (
    select
        nullif(fsum(abs(pnl)), 0.0) as whole,
        fsum(pnl) filter (is_ambiguous) as ambiguous,
        fsum(abs(pnl)) filter (is_ambiguous) as abs_ambiguous,
        fsum(pnl) filter (is_gap_adjacent) as gap_adjacent,
        fsum(abs(pnl)) filter (is_gap_adjacent) as abs_gap_adjacent,
        fsum(pnl) filter (is_stale) as stale,
        fsum(abs(pnl)) filter (is_stale) as abs_stale,
        fsum(pnl) filter (is_defective) as defective,
        fsum(abs(pnl)) filter (is_defective) as abs_defective,
        fsum(pnl) filter (is_flagged) as flagged,
        fsum(abs(pnl)) filter (is_flagged) as abs_flagged,
        case when (select count(*) from trades where not isfinite(pnl)) = 0 then 0.0 end as nothing
    from flags
),
base as (
    select case when isfinite(arg_max(equity, session)) then arg_max(equity, session) - any_value(capital) end as pnl
    from session_equity
    cross join terms
),
wide as (
    select
        pnl,
        pnl + to_worst as pnl_worst,
        pnl + to_best as pnl_best,
        ambiguous_fills::double as ambiguous_fills,
        (to_best - to_worst) / nullif(abs(pnl), 0.0) as pnl_share_assumed,
        coalesce(ambiguous, nothing) as pnl_ambiguous,
        coalesce(abs_ambiguous, 0.0) / whole as pnl_share_ambiguous,
        coalesce(gap_adjacent, nothing) as pnl_gap_adjacent,
        coalesce(abs_gap_adjacent, 0.0) / whole as pnl_share_gap_adjacent,
        coalesce(stale, nothing) as pnl_stale,
        coalesce(abs_stale, 0.0) / whole as pnl_share_stale,
        coalesce(defective, nothing) as pnl_defective,
        coalesce(abs_defective, 0.0) / whole as pnl_share_defective,
        coalesce(flagged, nothing) as pnl_flagged,
        coalesce(abs_flagged, 0.0) / whole as pnl_share_flagged
    from bounds
    cross join shares
    cross join base
)
select id, case when isfinite(value) then value end as value, (select run_id from terms) as run_id
from (from wide unpivot include nulls (value for id in (*)))
where exists (from terms)
