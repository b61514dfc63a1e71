-- historical_agrees: an average volume over sessions that the run itself covers is that of their session summaries.
with looked_back as (
    select historical_indicators.*
    from historical_indicators
    cross join runs
    where
        indicator = 'avg_volume'
        and unit = 'sessions'
        and source = runs.interval
        and runs.hours = 'regular'
        and used > 0
        and value is not null
        and historical_indicators.sessions = (
            select count(*) from sessions covered where covered.session between first_session and last_session
        )
)
select
    looked_back.session,
    looked_back.key,
    looked_back.symbol,
    any_value(looked_back.value) as value,
    avg(summary.volume) as summary_value,
    any_value(used) as used,
    count(*) as summary_used
from looked_back
join session_summary summary
    on summary.symbol = looked_back.symbol
    and summary.session between looked_back.first_session and looked_back.last_session
    and summary.first_bar is not null
group by looked_back.session, looked_back.key, looked_back.symbol
having
    count(*) <> any_value(used)
    or abs(avg(summary.volume) - any_value(looked_back.value)) > 1e-12 * avg(summary.volume)
