-- failures: one row per session and symbol that could not be computed, with the phase and the reason.
select session, symbol, phase, reason, run_id from stored_failures
