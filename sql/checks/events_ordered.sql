-- events_ordered: within a session the events of an order rise in time, count on by one, and nothing follows its end.
with steps as (
    select
        *,
        lag(seq) over life as seq_before,
        lag(happened_at) over life as at_before,
        lag(event) over life as event_before
    from order_events
    window life as (partition by session, order_id order by seq)
)
select session, order_id, seq, happened_at, event, event_before
from steps
where
    seq < 0
    or (seq = 0) <> (event = 'submitted')
    or seq <> seq_before + 1
    or happened_at < at_before
    or happened_at < timestamp
    or event_before in ('filled', 'cancelled', 'expired', 'rejected', 'replaced')
    or event_before = 'submitted' and event in ('triggered', 'partially_filled', 'filled')
    or event not in ('submitted', 'accepted', 'triggered', 'partially_filled')
    and event not in ('filled', 'cancelled', 'expired', 'rejected', 'replaced')
