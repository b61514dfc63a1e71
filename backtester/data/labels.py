"""The label and zone detector: do bars, as they were placed, lie where their own evidence says they should?

The rule, for bars inside a day:

1. Hours. Weigh every bar by its volume (capped, see witnesses.CAP_QUANTILE; 1 where a symbol has none) and add up the
   weight inside regular hours, as placed and with all labels moved by each multiple of 30 minutes. A move contradicts
   the labels if it brings in HOURS_GAIN of what so long a move could bring, beyond HOURS_SIGMAS of chance, loses no
   bars doing so, and the market then wakes at the open HOURS_CONTRAST times as clearly. Sessions on either side of a
   clock change are judged apart; first all symbols together, and if these do not contradict, each symbol alone.
2. Openings. Where hours are right, a symbol-session may show its opening: the one bar of open - 1, open, open + 1 that
   is five times as busy as each of the five before it. One bar off contradicts the labels if OPENING_SHARE of those
   that show say so and they are many, or of several symbols, or one is strong (see witnesses.openings). Bars shorter
   than a minute are not asked: an opening auction may take a second longer.
3. Steps. STEP_BARS distances between bars, all of them multiples of k > 1 bars, contradict the declared interval.

What does not contradict agrees if hours and openings both say so, and is inconclusive where there is too little to say:
continuous markets, a handful of bars, labels one bar off in a single session of a symbol.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import numpy as np
import polars as pl

from backtester.arrays import Int64
from backtester.data import witnesses
from backtester.data.calendar import Calendar
from backtester.data.placing import Placing, format_shift
from backtester.data.remedies import exact_move, hours_remedy, interval_remedy, opening_remedy
from backtester.data.witnesses import STEP_US, STEPS, Activity, Openings, Sessions
from backtester.interval import Interval

# A move by 30 minutes can bring in 30 of 390 minutes of XNYS: half of that share is asked for, never more than a tenth.
HOURS_GAIN, HOURS_GAIN_MOST = 0.5, 0.1
# In 2,400 symbol-sessions of correct data the largest gain of any move was 1.5 sigmas, in wrong ones mostly above 5.
HOURS_SIGMAS = 4.0
# Correct data wake 9 to 140 times as busy as the half hour before, wrong ones 0.6 to 2 times.
HOURS_CONTRAST = 3.0
HOURS_BARS_LOST = 0.02
# A symbol may open late at its own exchange for days: 36 % of the sessions of one that were looked at, 2 % of all.
OPENING_SHARE, OPENING_MANY, OPENING_SYMBOLS = 0.8, 8, 3
STEP_BARS = 20

AGREES, CONTRADICTS, INCONCLUSIVE = "agrees", "contradicts", "inconclusive"
UNMOVED = STEPS.index(0)


class Look(NamedTuple):
    """What bars look like on the exchange's clock; the times are the commonest ones, null without a regular bar."""

    first_bar: str | None
    last_bar: str | None
    bars: int  # in regular hours, over the sessions with any
    expected_bars: int
    volume_frac: float | None  # in regular hours, of all volume; null without volume
    wakes_at: str | None  # the half hour that is busiest against the one before it


@dataclass(frozen=True)
class Evidence:
    """What the bars of an import say of their labels; kept in the store beside them, whatever the verdict.

    `openings` counts symbol-sessions that open a bar early, on time, a bar late. `moved` is the look of the bars after
    the move by `moved_by`, where one contradicts the labels.
    """

    verdict: str
    labelled: Look | None = None
    openings: tuple[int, int, int] = (0, 0, 0)
    moved_by: str | None = None
    moved: Look | None = None
    contradictions: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """The evidence as JSON holds it."""
        looks = {name: look._asdict() for name in ("labelled", "moved") if (look := getattr(self, name)) is not None}
        return {name: value for name, value in (asdict(self) | looks).items() if value not in (None, ())}


class _Hours(NamedTuple):
    """The best move of some symbols' labels in the sessions at one zone offset."""

    symbols: tuple[int, ...]
    offset_us: int
    step: int  # half hours
    contradicts: bool
    agrees: bool


def examine(
    bars: pl.DataFrame, *, calendar: Calendar, placing: Placing, is_wall_clock: bool, names: list[str]
) -> Evidence:
    """Weigh bars as placed against the calendar; `names` are the symbols the codes stand for.

    bars           symbol (int codes), timestamp (int64 us since 1970, inside the calendar), volume; any order
    is_wall_clock  the labels showed the clock of placing.zone, so that another zone could be the remedy
    """
    if bars.is_empty() or not placing.interval.is_intraday:
        return Evidence(INCONCLUSIVE)
    timestamps = bars["timestamp"].to_numpy()
    sessions = witnesses.sessions_around(calendar, timestamps)
    if sessions.columns.opens.size == 0:
        return Evidence(INCONCLUSIVE)
    placed = witnesses.place_bars(bars, sessions, placing.interval)
    busy = witnesses.activity(placed, sessions)
    shown = witnesses.openings(placed, sessions, placing.interval)
    hours = _judge_hours(busy)
    wrong = [judged for judged in hours if judged.contradicts]
    labelled = _look(placed, sessions, busy, placing.interval)
    evidence = Evidence(_agreement(hours, shown), labelled, _by_position(shown))
    if not wrong:
        return _judge_grid(placed, shown, evidence, placing, names)
    moves = {one.offset_us: exact_move(one.step * STEP_US, timestamps, sessions) for one in wrong}
    fitting = {one.offset_us for one in hours if one.agrees}
    move_us = max(moves.values(), key=abs)
    moved = bars.with_columns(pl.col("timestamp") + move_us)
    replaced = witnesses.place_bars(moved, sessions, placing.interval)
    return replace(
        evidence,
        verdict=CONTRADICTS,
        moved_by=format_shift(move_us),
        moved=_look(replaced, sessions, witnesses.activity(replaced, sessions), placing.interval),
        contradictions=(f"{_whose(wrong, names)} fit {calendar.exchange} better moved by {format_shift(move_us)}",),
        remedies=(hours_remedy(moves, fitting, sessions, placing, calendar, is_wall_clock=is_wall_clock),),
    )


def describe(evidence: Evidence) -> str:
    """One line on what the bars say of their labels; the evidence has a look."""
    said = {AGREES: "agree", CONTRADICTS: "contradict", INCONCLUSIVE: "neither agree nor contradict"}[evidence.verdict]
    assert evidence.labelled is not None
    taken = f" ({'; '.join(evidence.contradictions)}), imported as declared" if evidence.contradictions else ""
    return f"labels: the bars {said}{taken}: {_look_text(evidence.labelled)}"


def refusal(evidence: Evidence, *, exchange: str) -> str:
    """The words of an import refused for its labels: what contradicts them, on what evidence, what would do."""
    lines = [f"the labels contradict the hours of {exchange}: {'; '.join(evidence.contradictions)}"]
    for title, look in (("as labelled", evidence.labelled), (f"moved by {evidence.moved_by}", evidence.moved)):
        if look is not None:
            lines.append(f"  {title}: {_look_text(look)}")
    early, on_time, late = evidence.openings
    lines.append(f"  openings seen: {early} a bar early, {on_time} on time, {late} a bar late")
    lines.append(f"  import with {' and '.join(evidence.remedies)}; or as labelled all the same with --accept-labels")
    return "\n".join(lines)


def _look_text(look: Look) -> str:
    volume = "" if look.volume_frac is None else f", {look.volume_frac:.0%} of the volume in them"
    wakes = "" if look.wakes_at is None else f", the market wakes at {look.wakes_at}"
    span = f", first {look.first_bar}, last {look.last_bar}" if look.first_bar else ""
    return f"{look.bars:,} of {look.expected_bars:,} bars of regular hours{span}{volume}{wakes}"


def _judge_hours(busy: Activity) -> list[_Hours]:
    """The pooled judgement at each zone offset; where none contradicts, the symbols that contradict alone as well."""
    pooled = [_judge(busy, np.flatnonzero(busy.offsets == offset)) for offset in np.unique(busy.offsets)]
    if any(judged.contradicts for judged in pooled):
        return pooled
    alone = [_judge(busy, np.array([group])) for group in range(busy.symbols.size)]
    return pooled + [judged for judged in alone if judged.contradicts]


def _judge(busy: Activity, groups: Int64) -> _Hours:
    """Rule 1 for the groups taken together, all of them at one zone offset."""
    weight, bars, moved, waking, asleep = (
        matrix[groups].sum(axis=0) for matrix in (busy.weight, busy.bars, busy.moved, busy.waking, busy.asleep)
    )
    total, steps = float(busy.all_weight[groups].sum()), np.array(STEPS)
    best = int(np.lexsort((np.abs(steps), -weight))[0])
    contrast = (waking + 1e-3 * total) / (asleep + 1e-3 * total)
    sigmas = (weight - weight[UNMOVED]) / np.sqrt(np.maximum(moved, 1e-12))
    regular_us = float(busy.regular_us[groups].sum() / busy.sessions[groups].sum())
    reach_us = max(0.0, min(abs(STEPS[best]) * STEP_US, witnesses.DAY_US - regular_us, regular_us))
    contradicts = (
        best != UNMOVED
        and weight[best] - weight[UNMOVED] >= min(HOURS_GAIN * reach_us / regular_us, HOURS_GAIN_MOST) * total
        and sigmas[best] >= HOURS_SIGMAS
        and bars[best] - bars[UNMOVED] >= -HOURS_BARS_LOST * busy.all_bars[groups].sum()
        and contrast[best] >= HOURS_CONTRAST * contrast[UNMOVED]
    )
    agrees = best == UNMOVED and bool(np.all(np.delete(sigmas, UNMOVED) <= -HOURS_SIGMAS / 2))
    symbols = tuple(busy.symbols[groups].tolist())
    return _Hours(symbols, int(busy.offsets[groups[0]]), STEPS[best], bool(contradicts), agrees)


def _judge_grid(
    placed: pl.DataFrame, shown: Openings, evidence: Evidence, placing: Placing, names: list[str]
) -> Evidence:
    """Rules 2 and 3, for labels whose hours are not contradicted."""
    contradictions, remedies = [], []
    for symbol in [None, *np.unique(shown.symbols).tolist()] if placing.interval.us >= witnesses.MINUTE_US else []:
        position = _off_by(shown, symbol)
        if position:
            side = "late" if position > 0 else "early"
            contradictions.append(f"{'sessions' if symbol is None else names[symbol]} open one bar {side}")
            remedies.append(opening_remedy(position, placing))
            break
    for symbol, count, step in witnesses.bar_steps(placed):
        if step > 1 and count >= STEP_BARS:
            contradictions.append(f"all bars of {names[symbol]} lie multiples of {step} x {placing.interval} apart")
            remedies.append(interval_remedy(step, placing))
            break
    if not contradictions:
        return evidence
    return replace(
        evidence, verdict=CONTRADICTS, contradictions=tuple(contradictions), remedies=tuple(dict.fromkeys(remedies))
    )


def _off_by(shown: Openings, symbol: int | None) -> int:
    """Rule 2 for all symbols (None) or one: -1 or 1 if openings contradict the labels, else 0."""
    asked = shown.shows if symbol is None else shown.shows & (shown.symbols == symbol)
    for position in (-1, 1):
        says = asked & (shown.position == position)
        count, symbols = int(says.sum()), np.unique(shown.symbols[says]).size
        enough = count >= OPENING_MANY or symbols >= OPENING_SYMBOLS or bool((says & shown.is_strong).any())
        if enough and count >= OPENING_SHARE * asked.sum():
            return position
    return 0


def _agreement(hours: list[_Hours], shown: Openings) -> str:
    early, on_time, late = _by_position(shown)
    seen = early + on_time + late
    return AGREES if all(one.agrees for one in hours) and on_time >= OPENING_SHARE * max(seen, 1) else INCONCLUSIVE


def _by_position(shown: Openings) -> tuple[int, int, int]:
    early, on_time, late = (int((shown.shows & (shown.position == position)).sum()) for position in (-1, 0, 1))
    return early, on_time, late


def _look(placed: pl.DataFrame, sessions: Sessions, busy: Activity, interval: Interval) -> Look:
    """How bars look from the exchange's clock."""
    regular = witnesses.regular_bars(placed)
    at = regular["session"].to_numpy()
    clocks = (sessions.columns.opens + sessions.offsets) % witnesses.DAY_US
    expected = sessions.masks.sum(axis=1)[sessions.kinds[at]] * witnesses.SLOT_US // interval.us
    total, inside = float(placed["volume"].sum()), float(placed.filter("is_regular")["volume"].sum())
    quiet = busy.asleep.sum(axis=0) + 1e-3 * busy.all_weight.sum() + 1e-9
    contrast = busy.waking.sum(axis=0) / quiet
    best = int(np.argmax(contrast))
    return Look(
        first_bar=_commonest(clocks[at] + regular["first"].to_numpy() * interval.us, interval),
        last_bar=_commonest(clocks[at] + regular["last"].to_numpy() * interval.us, interval),
        bars=int(regular["bars"].sum()),
        expected_bars=int(expected.sum()),
        volume_frac=round(inside / total, 4) if total else None,
        wakes_at=_clock_text(int(clocks[-1]) - STEPS[best] * STEP_US, interval) if contrast[best] >= 2.0 else None,
    )


def _commonest(clocks: Int64, interval: Interval) -> str | None:
    found, counts = np.unique(clocks, return_counts=True)
    return _clock_text(int(found[np.argmax(counts)]), interval) if found.size else None


def _clock_text(clock_us: int, interval: Interval) -> str:
    seconds = clock_us % witnesses.DAY_US // 1_000_000
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}"
    return text if interval.us >= witnesses.MINUTE_US else f"{text}:{seconds % 60:02d}"


def _whose(wrong: list[_Hours], names: list[str]) -> str:
    symbols = sorted({symbol for one in wrong for symbol in one.symbols})
    shown = ", ".join(names[symbol] for symbol in symbols[:5]) + (", ..." if len(symbols) > 5 else "")
    return f"the labels of {shown}"
