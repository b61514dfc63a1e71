-- indicators: one row per session, interval, timestamp and symbol; a column per indicator, null where it has no value yet.
select * from stored_indicators
