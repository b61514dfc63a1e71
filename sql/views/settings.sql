-- settings: one row per key of the run's config, every default written out; a list has a row per item, counted from 0.
select section, key, item, value, run_id
from stored_settings
