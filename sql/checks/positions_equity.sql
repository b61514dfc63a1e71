-- positions_equity: a session's equity at its end is cash plus its positions at their marks, and so are its exposures, to 1e-12.
with held as (
    select session, sum(value) as net, sum(abs(value)) as gross, count(*) as positions from positions group by session
),
ends as (
    select
        session,
        arg_max(equity, timestamp) as equity,
        arg_max(cash, timestamp) as cash,
        arg_max(net_exposure, timestamp) as net_exposure,
        arg_max(gross_exposure, timestamp) as gross_exposure,
        arg_max(open_positions, timestamp) as open_positions
    from equity
    group by session
)
select session, equity, cash, net, net_exposure, gross, gross_exposure, positions, open_positions
from ends
left join held using (session)
where
    coalesce(positions, 0) <> open_positions
    or abs(coalesce(net, 0.0) - net_exposure) > 1e-12 * gross_exposure
    or abs(coalesce(gross, 0.0) - gross_exposure) > 1e-12 * gross_exposure
    or abs(equity - cash - coalesce(net, 0.0)) > 1e-12 * (abs(cash) + gross_exposure)
