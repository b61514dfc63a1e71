-- equity_adds_up: equity is cash plus the net exposure at every label, to 1e-12 of what is summed, and a label is known later.
select session, timestamp, cash, equity, gross_exposure, net_exposure, open_positions
from equity
where
    not (isfinite(cash) and isfinite(equity) and isfinite(gross_exposure) and isfinite(net_exposure))
    or abs(equity - (cash + net_exposure)) > 1e-12 * (abs(cash) + gross_exposure)
    or gross_exposure < abs(net_exposure) * (1.0 - 1e-12)
    or open_positions < 0
    or open_positions = 0 and gross_exposure <> 0.0
    or known_at <= timestamp
