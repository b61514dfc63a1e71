-- fills_volume: a symbol's fills of one label take no more than volume_frac of the bar's volume, but for closes at a mark.
select session, symbol, timestamp, sum(quantity) as quantity, max(bar_volume) as bar_volume
from fills
join execution_settings using (run_id)
where
    volume_frac > 0.0
    and volume_rest <> 'next_tick'
    and rule not in ('flat_by', 'end_close', 'end_open')
group by session, symbol, timestamp
having sum(quantity) > max(volume_frac * bar_volume) * (1.0 + 1e-9) + 1e-9
