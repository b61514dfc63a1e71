-- terms: one row per run: what its metrics were computed with; rate is the risk-free return of one session.
select
    max(value) filter (id = 'capital') as capital,
    max(value) filter (id = 'sessions_per_year') as sessions_per_year,
    max(value) filter (id = 'risk_free') as risk_free_frac,
    pow(1.0 + risk_free_frac, 1.0 / sessions_per_year) - 1.0 as rate_frac,
    run_id
from metrics
group by run_id
