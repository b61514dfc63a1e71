-- streams: one row per session, symbol and requested interval; stream is STREAMED, GENERATED (from source) or IGNORED (see reason).
select session, symbol, interval, stream, source, reason, run_id from stored_streams
