-- gaps_kind: the opening gap begins at the open, the closing gap ends at the last label, and an inside gap does neither.
with placed as (
    select
        gaps.*,
        case
            when first_missing = session_open then 'opening'
            when last_missing + 2 * run.step > session_close then 'closing'
            else 'inside'
        end as expected_kind
    from gaps
    join session_summary using (session, symbol)
    cross join (select interval::interval as step, hours from runs) run
)
select session, symbol, kind, expected_kind, first_missing, last_missing from placed where kind <> expected_kind
