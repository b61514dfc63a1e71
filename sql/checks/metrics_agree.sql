-- metrics_agree: a default metric in metrics is what SQL computes from the tables, and null exactly where SQL finds none.
-- To 1e-12 of the value; near zero of 1, of 0.001 for fractions, because sums cancel there.
select (select max(session) from session_equity) as session, written.id, written.value, computed.value as computed_value
from metrics written
join computed_metrics computed using (id)
where written.value is distinct from computed.value
    and coalesce(
        abs(written.value - computed.value)
            > 1e-12 * greatest(abs(written.value), case when written.unit = 'frac' then 1e-3 else 1.0 end),
        true
    )
    or written.moment is distinct from computed.moment
