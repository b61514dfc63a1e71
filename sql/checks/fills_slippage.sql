-- fills_slippage: a fill's price is never better than its reference but for rounding, and worse by no more than is declared.
with bounds as (
    select
        session,
        fill_id,
        side,
        rule,
        reference_price,
        price,
        coalesce(slippage_bps, 0.0) / 10000.0 as slippage_frac,
        coalesce(slippage_ticks * tick, 0.0) as ticks,
        coalesce(spread_bps, 0.0) / case when spread_on = 'entry' then 10000.0 else 20000.0 end as spread_frac,
        coalesce(share_impact * share_cap * share_cap, 0.0) as impact_frac,
        case when round_fills then tick / 2.0 else 0.0 end
            + case when rule = 'remainder' then tick else 0.0 end as loose
    from fills
    left join execution_settings using (run_id)
)
select session, fill_id, rule, reference_price, price
from bounds
where
    side * (price - reference_price) < -coalesce(loose, 0.0) - 1e-12 * reference_price
    or side * (price - reference_price)
        > (reference_price * (1.0 + slippage_frac) + ticks) * (1.0 + spread_frac) * (1.0 + impact_frac)
        - reference_price + coalesce(loose, 0.0) + 1e-12 * reference_price
