-- runs: one row per run; interval is the source bars'; symbols, code and versions (JSON) are null until it has finished.
select
    run_id,
    name,
    exchange,
    interval,
    hours,
    start,
    "end",
    is_finished,
    sessions,
    symbols,
    bars,
    failed,
    code,
    versions
from stored_runs
