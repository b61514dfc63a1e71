-- gaps: one row per session, symbol and run of missing bars; kind is opening, inside or closing, both ends are labels.
select session, symbol, kind, first_missing, last_missing, missing_bars, run_id from stored_gaps
