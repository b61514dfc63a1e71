"""Historical indicators as tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import pyarrow as pa

from backtester.arrays import Int32, Int64
from backtester.data.columns import dates, dictionary, empty, instants, numbers, text
from backtester.features.trailing import Historical
from backtester.features.trailing_catalog import ENTRIES, columns_of
from backtester.schema import HISTORICAL_INDICATORS, HISTORICAL_PROFILES

EPOCH = date(1970, 1, 1)


def historical_table(found: Historical, symbols: Sequence[str], columns: Int64) -> pa.Table:
    """HISTORICAL_INDICATORS of the symbols in `columns` of the values, which are `symbols`, sorted."""
    outputs = [
        (key, row, row.values[output])
        for row in found.rows
        for key, output in zip(columns_of(row.use), ENTRIES[row.use.name].outputs, strict=True)
    ]
    outputs.sort(key=lambda output: output[0])
    if not outputs:
        return empty(HISTORICAL_INDICATORS)
    rows = [row for _, row, _ in outputs]
    count = len(symbols)
    values = np.concatenate([each[columns] for _, _, each in outputs])
    first = [(row.sessions[0].date - EPOCH).days if row.sessions else 0 for row in rows]
    last = [(row.sessions[-1].date - EPOCH).days if row.sessions else 0 for row in rows]
    unused = np.repeat([not row.sessions for row in rows], count)

    def repeated(values: list[int]) -> Int32:
        return np.repeat(np.array(values, dtype=np.int32), count)

    arrays = [
        dictionary(np.repeat(np.arange(len(rows), dtype=np.int32), count), text([key for key, _, _ in outputs])),
        _words([row.use.name for row in rows], count),
        dictionary(np.tile(np.arange(count, dtype=np.int32), len(rows)), text(symbols)),
        numbers(values, null=np.isnan(values)),
        _words([row.use.unit for row in rows], count),
        numbers(repeated([row.use.window for row in rows])),
        numbers(np.concatenate([row.used[columns] for row in rows])),
        _words([str(row.use.source) for row in rows], count),
        dates(repeated(first), null=unused),
        dates(repeated(last), null=unused),
        numbers(repeated([len(row.sessions) for row in rows])),
        numbers(np.concatenate([row.sessions_used[columns] for row in rows])),
        numbers(np.concatenate([row.sessions_with_gaps[columns] for row in rows])),
    ]
    return pa.Table.from_arrays(arrays, schema=HISTORICAL_INDICATORS)


def profile_table(found: Historical, symbols: Sequence[str], columns: Int64) -> pa.Table:
    """HISTORICAL_PROFILES of the symbols in `columns` of the values, which are `symbols`, sorted."""
    tables = []
    profiles = sorted(found.profiles, key=lambda profile: profile.key)
    keys = text([profile.key for profile in profiles])
    for k, profile in enumerate(profiles):
        slots, count = len(profile.starts), len(symbols)
        values = profile.values[:, columns].ravel()
        arrays = [
            dictionary(np.full(slots * count, k, dtype=np.int32), keys),
            instants(np.repeat(profile.starts, count)),
            dictionary(np.tile(np.arange(count, dtype=np.int32), slots), text(symbols)),
            numbers(np.repeat(profile.minutes, count)),
            numbers(values, null=np.isnan(values)),
            numbers(profile.used[:, columns].ravel()),
        ]
        tables.append(pa.Table.from_arrays(arrays, schema=HISTORICAL_PROFILES))
    return pa.concat_tables(tables).combine_chunks() if tables else empty(HISTORICAL_PROFILES)


def _words(values: list[str], count: int) -> pa.DictionaryArray:
    """Each word `count` times."""
    names = list(dict.fromkeys(values))
    codes = np.array([names.index(value) for value in values], dtype=np.int32)
    return dictionary(np.repeat(codes, count), text(names))
