-- deepest_drawdowns: one row per clock, session ends and bars: the deepest drawdown, its points in time and its length in points.
-- Without a drawdown, or with equity that is not a number, depth_frac is 0 or null and all else null.
with points as (
    select
        'max_drawdown' as metric,
        session_number as number,
        session::timestamp at time zone 'UTC' as moment,
        equity,
        peak_equity,
        drawdown_frac,
        run_id
    from session_returns
    union all
    select 'max_drawdown_bars', bar_number, moment, equity, peak_equity, drawdown_frac, run_id from bar_drawdowns
),
troughs as (
    select
        metric,
        min(drawdown_frac) as depth_frac,
        count(*) as points,
        arg_min(number, (drawdown_frac, number)) as trough,
        arg_min(peak_equity, (drawdown_frac, number)) as level,
        run_id
    from points
    group by metric, run_id
    having bool_and(isfinite(equity))
),
ends as (
    select
        metric,
        coalesce(max(number) filter (number < trough and drawdown_frac = 0.0), 0) as peak,
        min(number) filter (number >= trough and equity >= level) as recovery
    from points
    join troughs using (metric)
    group by metric
)
select
    metric,
    depth_frac,
    case when depth_frac < 0.0 then coalesce(recovery, points) - peak end as length_points,
    max(moment) filter (number = peak and depth_frac < 0.0) as peak_at,
    max(moment) filter (number = trough and depth_frac < 0.0) as trough_at,
    max(moment) filter (number = recovery and depth_frac < 0.0) as recovery_at,
    troughs.run_id
from points
join troughs using (metric)
join ends using (metric)
group by metric, depth_frac, length_points, troughs.run_id
