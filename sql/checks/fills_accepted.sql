-- fills_accepted: an order fills at a later label than that of its decision, unless a rule of the run says otherwise.
-- fill_bar = same, legs that arm in the bar of their entry, and closes at a mark at the end.
select fills.session, fill_id, order_id, orders.timestamp as decided_at, fills.timestamp, role, rule
from fills
join orders using (run_id, order_id)
left join execution_settings using (run_id)
where
    fills.timestamp < orders.timestamp
    or fills.filled_at < submitted_at and rule <> 'end_open' and parent_id is null
    or fills.timestamp = orders.timestamp
    and rule not in ('same_close', 'flat_by', 'end_close', 'end_open')
    and not (rule = 'remainder' and coalesce(fill_bar, '') = 'same')
    and not (parent_id is not null and coalesce(arm, '') = 'entry_bar')
