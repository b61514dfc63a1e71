-- benchmark: one row per session: the return of the symbol of metrics.benchmark, close to close; null in the first, and without a bar.
with closes as (
    select session, close, run_id
    from session_summary
    where symbol = (select value from settings where section = 'metrics' and key = 'benchmark')
)
select session, close / lag(close) over (order by session) - 1.0 as return_frac, run_id
from session_equity
join closes using (session, run_id)
