-- return_metrics: one row per metric of session returns and its value, null where docs/metrics.md says that there is none.
-- A deviation of at most 2^-50 is the rounding of equal returns.
with usable as (
    select session, return_frac, equity, drawdown_frac, terms.*
    from session_returns
    cross join terms
    where (select bool_and(return_frac is not null) from session_returns)
),
ranked as (
    select
        *,
        row_number() over (order by return_frac) as place,
        count(*) over () as n,
        fsum(return_frac) over () / n as mean_frac
    from usable
),
moments as (
    select
        any_value(n) as n,
        any_value(mean_frac) as mean_frac,
        any_value(sessions_per_year) as per_year,
        any_value(rate_frac) as rate,
        fsum(return_frac - rate_frac) / any_value(n) as excess,
        sqrt(fsum(pow(return_frac - mean_frac, 2)) / nullif(any_value(n) - 1, 0)) as spread,
        case when spread > pow(2.0, -50) then spread when spread is not null then 0.0 end as deviation,
        sqrt(fsum(pow(least(return_frac - rate_frac, 0.0), 2)) / any_value(n)) as downside,
        fsum(pow(return_frac - mean_frac, 2)) / any_value(n) as m2,
        fsum(pow(return_frac - mean_frac, 3)) / any_value(n) as m3,
        fsum(pow(return_frac - mean_frac, 4)) / any_value(n) as m4,
        quantile_cont(return_frac, 0.05) as var_95,
        quantile_cont(return_frac, 0.01) as var_99,
        quantile_cont(return_frac, 0.95) as high,
        fsum(return_frac) filter (place <= (n - 1) * 5 // 100 + 1) as low_5,
        fsum(return_frac) filter (place <= (n - 1) * 1 // 100 + 1) as low_1
    from ranked
),
pairs as (
    select
        usable.return_frac as own,
        benchmark.return_frac as market,
        rate_frac,
        sessions_per_year,
        fsum(own) over () / count(*) over () as own_mean,
        fsum(market) over () / count(*) over () as market_mean
    from usable
    join benchmark using (session)
    where isfinite(market)
),
slopes as (
    select
        *,
        case
            when count(*) over () > 1
                and sqrt(fsum(pow(market - market_mean, 2)) over () / (count(*) over () - 1)) > pow(2.0, -50)
            then fsum((own - own_mean) * (market - market_mean)) over () / fsum(pow(market - market_mean, 2)) over ()
        end as slope
    from pairs
),
lines as (
    select
        any_value(slope) as beta,
        fsum(own - rate_frac - slope * (market - rate_frac)) / count(*) as apart,
        any_value(sessions_per_year) as per_year
    from slopes
),
wide as (
    select
        deviation * sqrt(per_year) as volatility,
        excess / nullif(deviation, 0.0) * sqrt(per_year) as sharpe,
        case when downside > pow(2.0, -50) then excess / downside * sqrt(per_year) end as sortino,
        var_95,
        low_5 / ((n - 1) * 5 // 100 + 1) as cvar_95,
        var_99,
        low_1 / ((n - 1) * 1 // 100 + 1) as cvar_99,
        abs(high) / nullif(abs(var_95), 0.0) as tail_ratio,
        case
            when n > 2 and sqrt(m2) > pow(2.0, -50) then m3 / pow(sqrt(m2), 3) * sqrt(n * (n - 1)) / (n - 2)
        end as skew,
        case
            when n > 3 and sqrt(m2) > pow(2.0, -50)
            then (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * (m4 / pow(sqrt(m2), 4) - 3.0) + 6.0)
        end as kurtosis,
        (select beta from lines) as beta,
        (select case when apart >= -1.0 then pow(1.0 + apart, per_year) - 1.0 end from lines) as alpha
    from moments
)
select id, case when isfinite(value) then value end as value, (select run_id from terms) as run_id
from (from wide unpivot include nulls (value for id in (*)))
where exists (from terms)
