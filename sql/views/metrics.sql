-- metrics: one row per metric of a finished run, as the run wrote it; value or moment is set, or note says why neither is.
select id, metric, variant, value, moment, unit, formula, note, run_id
from stored_metrics
