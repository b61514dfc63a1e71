-- trade_metrics: one row per metric of trades that ended, flat to flat, and its value; null where there is none.
with closed as (
    select pnl, return_frac, bars_held, row_number() over (order by exited_at, trade_id) as number, sign(pnl) as outcome
    from trades
    where not is_open and (select bool_and(isfinite(pnl)) from trades where not is_open)
),
streaks as (
    select outcome, count(*) as length
    from (
        select outcome, number - row_number() over (partition by outcome order by number) as island from closed
    )
    group by outcome, island
),
sums as (
    select
        count(*) as n,
        fsum(pnl) / count(*) as mean,
        min(pnl) as lowest,
        max(pnl) as highest,
        coalesce(fsum(pnl) filter (pnl > 0.0), 0.0) as gained,
        coalesce(-fsum(pnl) filter (pnl < 0.0), 0.0) as lost,
        count(*) filter (pnl > 0.0) as wins,
        count(*) filter (pnl < 0.0) as losses,
        fsum(return_frac) / count(*) as mean_return,
        fsum(bars_held::double) / count(*) as mean_bars,
        case when (select count(*) from trades where not is_open and not isfinite(pnl)) = 0 then 0 end as nothing
    from closed
),
squares as (select fsum(pow(pnl - mean, 2)) as squared from closed cross join sums),
wide as (
    select
        (select count(*) from trades where not is_open)::double as trades,
        (select count(*) from trades where is_open)::double as open_trades,
        wins / nullif(n, 0) as win_rate,
        gained / nullif(lost, 0.0) as profit_factor,
        mean as expectancy,
        mean_return as average_trade,
        gained / nullif(wins, 0) as average_win,
        -lost / nullif(losses, 0) as average_loss,
        highest as best_trade,
        lowest as worst_trade,
        case when lowest < highest then sqrt(n) * mean / nullif(sqrt(squared / (n - 1)), 0.0) end as sqn,
        coalesce((select max(length) from streaks where outcome > 0), nothing)::double as longest_wins,
        coalesce((select max(length) from streaks where outcome < 0), nothing)::double as longest_losses,
        mean_bars as average_bars_held
    from sums
    cross join squares
)
select id, case when isfinite(value) then value end as value, (select run_id from terms) as run_id
from (from wide unpivot include nulls (value for id in (*)))
where exists (from terms)
