-- bar_drawdowns: one row per bar of the run's clock: how far equity lies below the highest so far, the starting capital included.
select
    equity.session,
    known_at as moment,
    row_number() over (order by known_at) as bar_number,
    equity,
    greatest(max(equity) over (order by known_at), terms.capital) as peak_equity,
    equity / greatest(max(equity) over (order by known_at), terms.capital) - 1.0 as drawdown_frac,
    equity.run_id
from equity
cross join terms
