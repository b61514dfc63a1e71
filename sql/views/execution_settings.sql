-- execution_settings: one row per run: what the checks hold its tables against; null where it is off.
select
    max(value) filter (key = 'capital')::double as capital,
    max(value) filter (key = 'fill_bar') as fill_bar,
    max(value) filter (key = 'arm') as arm,
    max(value) filter (key = 'limit_price') as limit_price,
    max(value) filter (key = 'stop_price') as stop_price,
    max(value) filter (key = 'volume_frac')::double as volume_frac,
    max(value) filter (key = 'volume_rest') as volume_rest,
    max(value) filter (key = 'slippage_bps')::double as slippage_bps,
    max(value) filter (key = 'slippage_ticks')::double as slippage_ticks,
    max(value) filter (key = 'spread_bps')::double as spread_bps,
    max(value) filter (key = 'spread_on') as spread_on,
    max(value) filter (key = 'share_impact')::double as share_impact,
    max(value) filter (key = 'share_cap')::double as share_cap,
    max(value) filter (key = 'round_fills') = 'true' as round_fills,
    max(value) filter (key = 'tick')::double as tick,
    max(value) filter (key = 'flat_by') as flat_by,
    coalesce(try_cast(regexp_extract(flat_by, '-(\d+)', 1) as double), 0.0)
        * case right(flat_by, 1) when 's' then 1.0 when 'm' then 60.0 when 'h' then 3600.0 else 0.0 end
        as flat_by_seconds,
    run_id
from settings
where section in ('execution', 'limits')
group by run_id
having count(*) filter (section = 'execution') > 0
