-- gaps_apart: a bar lies between one gap and the next, else they would be one.
select session, symbol, first_missing, last_missing, next_missing
from (
    select
        session,
        symbol,
        first_missing,
        last_missing,
        lead(first_missing) over (partition by session, symbol order by first_missing, last_missing) as next_missing
    from gaps
)
cross join (select interval::interval as step, hours from runs) run
where next_missing <= last_missing + run.step
