-- exposure: one row per session: how much of the equity was in the market, over the labels of its clock.
select
    session,
    count(*) as labels,
    count(*) filter (open_positions > 0) / count(*) as exposed_frac,
    avg(open_positions) as mean_positions,
    max(open_positions) as most_positions,
    avg(gross_exposure / nullif(equity, 0.0)) as mean_gross_frac,
    max(gross_exposure / nullif(equity, 0.0)) as most_gross_frac,
    avg(net_exposure / nullif(equity, 0.0)) as mean_net_frac,
    run_id
from equity
group by session, run_id
