-- activity_metrics: one row per metric of the equity tables: growth, exposure, turnover and fees; null where there is none.
with ends as (
    select
        count(*) as n,
        arg_max(equity, session) as last_equity,
        case when isfinite(last_equity) then last_equity end as end_equity,
        fsum(equity) / count(*) as mean_equity,
        coalesce(fsum(turnover), 0.0) as traded,
        coalesce(fsum(fees), 0.0) as fees
    from session_equity
),
bars as (
    select
        count(*) filter (open_positions > 0) / nullif(count(*), 0) as exposure,
        case when bool_and(equity > 0.0 and isfinite(equity)) then fsum(gross_exposure / equity) / count(*) end
            as gross_exposure
    from equity
),
drawdowns as (
    select sqrt(fsum(pow(drawdown_frac, 2)) / count(*)) as ulcer
    from session_returns
    having bool_and(isfinite(equity))
),
wide as (
    select
        capital,
        sessions_per_year,
        risk_free_frac as risk_free,
        n::double as sessions,
        end_equity,
        end_equity / capital - 1.0 as total_return,
        case
            when end_equity / capital - 1.0 >= -1.0
            then pow(1.0 + (end_equity / capital - 1.0), sessions_per_year / n) - 1.0
        end as annualised_return,
        (
            select annualised_return / nullif(-depth_frac, 0.0) from deepest_drawdowns where metric = 'max_drawdown'
        ) as calmar,
        (select ulcer from drawdowns) as ulcer,
        exposure,
        gross_exposure,
        case when mean_equity > 0.0 then traded / mean_equity * (sessions_per_year / n) end as turnover,
        traded,
        fees
    from ends
    cross join bars
    cross join terms
)
select id, case when isfinite(value) then value end as value, (select run_id from terms) as run_id
from (from wide unpivot include nulls (value for id in (*)))
where exists (from terms)
