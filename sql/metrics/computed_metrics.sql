-- computed_metrics: one row per metric, computed from the committed tables by SQL alone; `metrics` holds what the run wrote.
with falls as (
    select * from (values ('max_drawdown'), ('max_drawdown_bars')) as clocks (metric)
    left join deepest_drawdowns using (metric)
    where exists (from terms)
)
select id, value, null::timestamptz as moment, run_id from activity_metrics
union all
select id, value, null, run_id from return_metrics
union all
select id, value, null, run_id from trade_metrics
union all
select id, value, null, run_id from profit_metrics
union all
select metric, depth_frac, null, (select run_id from terms) from falls
union all
select metric || '_length', length_points::double, null, (select run_id from terms) from falls
union all
select metric || '_peak', null, peak_at, (select run_id from terms) from falls
union all
select metric || '_trough', null, trough_at, (select run_id from terms) from falls
union all
select metric || '_recovery', null, recovery_at, (select run_id from terms) from falls
