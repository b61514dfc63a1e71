-- equity_cash: within a session cash at a label is what its last fill left, else that of the label before; fills lie on labels.
with last_fills as (
    select session, timestamp, arg_max(cash_after, fill_id) as cash_after from fills group by session, timestamp
),
labels as (
    select session, timestamp, cash, lag(cash) over (partition by session order by timestamp) as cash_before from equity
)
select session, timestamp, cash, cash_before, cash_after
from labels
full join last_fills using (session, timestamp)
where cash is distinct from coalesce(cash_after, cash_before, cash)
