-- summary_gaps: a symbol's gaps add up to its missing bars, and the longest of them is its longest gap.
with total as (
    select session, symbol, sum(missing_bars) as missing_bars, max(missing_bars) as longest_gap_bars
    from gaps
    group by session, symbol
)
select
    session,
    symbol,
    total.missing_bars as gap_bars,
    summary.missing_bars,
    total.longest_gap_bars as longest_gap,
    summary.longest_gap_bars
from session_summary summary
full join total using (session, symbol)
where
    coalesce(total.missing_bars, 0) is distinct from summary.missing_bars
    or coalesce(total.longest_gap_bars, 0) is distinct from summary.longest_gap_bars
