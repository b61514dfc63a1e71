-- The symbol-sessions with the worst data, and where their longest gap began.
select s.session, s.symbol, s.bars, s.expected_bars, s.missing_bars, round(s.quality_pct, 2) as quality_pct,
    s.longest_gap_bars, strftime(g.first_missing at time zone 'America/New_York', '%H:%M') as longest_gap_from
from session_summary s
left join gaps g on g.session = s.session and g.symbol = s.symbol and g.missing_bars = s.longest_gap_bars
where s.missing_bars > 0
qualify row_number() over (partition by s.session, s.symbol order by g.first_missing) = 1
order by s.quality_pct, s.session, s.symbol
limit 10
