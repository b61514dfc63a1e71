-- flow: one row per session, phase (1 to 6) and step; started_at and seconds are clock readings, so they differ from run to run.
select session, phase, step, started_at, seconds, rows, detail, run_id from stored_flow
