-- streams_values: a stream is STREAMED or GENERATED with a source, or IGNORED with a reason, and never both.
select session, symbol, interval, stream, source, reason
from streams
where
    stream not in ('STREAMED', 'GENERATED', 'IGNORED')
    or (source is null) <> (stream = 'IGNORED')
    or (reason is null) <> (stream <> 'IGNORED')
    or (stream = 'GENERATED' and source = interval)
