-- streams_symbols: every symbol of the session summary has a stream that is read, and every other symbol's are ignored or it failed.
with stream_symbols as (
    select session, symbol, bool_or(stream = 'STREAMED') as is_read from streams group by session, symbol
)
select session, symbol, is_read, summary.symbol is not null as has_summary
from stream_symbols
full join session_summary summary using (session, symbol)
where
    (summary.symbol is not null) is distinct from coalesce(is_read, false)
    and (session, symbol) not in (select (session, symbol) from failures)
