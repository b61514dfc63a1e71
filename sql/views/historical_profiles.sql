-- historical_profiles: one row per session, profile, slot and symbol; null where no session before has the slot.
select session, key, timestamp, session_minute, symbol, value, sessions_used, run_id from stored_historical_profiles
