-- phase_seconds: one row per session and phase: when it began, how many steps it had, how many seconds they took.
select session, phase, min(started_at) as started_at, count(*) as steps, sum(seconds) as seconds, run_id
from flow
group by session, phase, run_id
