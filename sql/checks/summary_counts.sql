-- summary_counts: bars and missing bars are not negative and add up to the expected bars, which fit between open and close.
select session, symbol, bars, missing_bars, expected_bars, pre_bars, post_bars, session_open, session_close
from session_summary
cross join (select interval::interval as step, hours from runs) run
where
    least(bars, missing_bars, expected_bars, longest_gap_bars, pre_bars, post_bars) < 0
    or bars + missing_bars <> expected_bars
    -- A daily bar is the whole session, 24 hours in name only.
    or (run.step < interval '1 day' and expected_bars * run.step > session_close - session_open)
