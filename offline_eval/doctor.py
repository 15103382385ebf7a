"""Is this log in health? Asked before any policy is looked at, of the log's own probabilities.

A wrong propensity shows in no estimate by itself. But propensities promise how often each arm comes, and that
can be counted.
"""

# ruff: noqa: S608 - SQL is made of our own names, and values go through engine.literal
from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

from offline_eval.dataset import VIEW, Log
from offline_eval.diagnostics import Check, Gates, Level
from offline_eval.special import chi_square_tail

LEAST_DRAWS = 200
"""Arms shown less often are not tested by mass: with fewer draws the test cries wolf."""
_LEAST_EXPECTED = 5.0
_GRIDS = (1_000, 10_000, 100_000, 200_000, 1_000_000)
_MANY_VALUES = 100
_ON_GRID = 1e-7
_MASS_TOLERANCE = 1e-6
_MOST_CERTAIN = 0.01
_MOST_SKEW_S = 60


class Cell(NamedTuple):
    """One arm in one slot."""

    slot: int
    arm: str
    shown: int
    eligible: int
    mass: float
    """Sum of 1/p over the rows where it was shown: about ``eligible``, if propensities are right."""
    variance: float
    """Of that sum: of (1/p)(1/p - 1)."""
    expected: float | None
    """Sum of its logged probabilities; None when they are not known."""

    @property
    def z(self) -> float:
        """How many standard errors the mass is off."""
        return (self.mass - self.eligible) / math.sqrt(self.variance) if self.variance > 0 else 0.0


def examine(log: Log, gates: Gates) -> tuple[Check, ...]:
    """What the log says of itself; a check that cannot be made is left out."""
    cells = action_cells(log)
    found = (
        matured(log, gates),
        clock(log, gates),
        exploration(log),
        pmf_mass(log, gates),
        action_mass(cells, gates),
        sample_ratio(cells, gates),
        quantised(log),
    )
    return tuple(check for check in found if check is not None)


def matured(log: Log, gates: Gates) -> Check | None:
    """Whether rewards have had their time, day by day: a half-matured day biases every estimate down."""
    days = log.connection.execute(f"""
        SELECT CAST(CAST(decided_at AS DATE) AS VARCHAR) AS day, count(*) AS made, count(reward) AS known
        FROM {VIEW} WHERE status IN ('', 'reward_missing') GROUP BY day ORDER BY known / made, day
        """).fetchall()
    rows, known = sum(day[1] for day in days), sum(day[2] for day in days)
    if not rows:
        return None
    worst, count, there = days[0]
    text = f"{known / rows:.1%} of decisions have their reward, on {len(days)} days"
    lacking = f"; least on {worst}: {there / count:.1%}" if known < rows else ""
    return Check("matured", _caution(known < gates.least_matured * rows), known / rows, text + lacking)


def clock(log: Log, gates: Gates) -> Check | None:
    """Whether decisions were closed after they were made, as two clocks that agree would have it."""
    rows, odd = log.connection.execute(f"""
        SELECT count(*), count_if(finalised_at < decided_at - INTERVAL {_MOST_SKEW_S} SECOND)
        FROM {VIEW} WHERE status = ''""").fetchall()[0]
    if not rows:
        return None
    text = "decisions were closed after they were made"
    if odd:
        text = f"{odd:,} decisions were closed before they were made: days and windows mean little"
    return Check("clock", _caution(odd > gates.most_defects * rows), odd / rows, text)


def exploration(log: Log) -> Check | None:
    """Whether anything was left to chance where there was a choice: propensities of 1 that nobody flagged."""
    rows, certain = log.connection.execute(f"""
        SELECT count(*), count_if(propensity >= {1 - 1e-9}) FROM {VIEW} WHERE status = '' AND n_arms > 1
        """).fetchall()[0]
    if not rows:
        return None
    level: Level = "stop" if certain == rows else _caution(certain > _MOST_CERTAIN * rows)
    text = f"{certain:,} of {rows:,} decisions among several arms left nothing to chance"
    return Check("chance", level, certain / rows, text)


def pmf_mass(log: Log, gates: Gates) -> Check | None:
    """Whether logged probabilities are distributions."""
    rows, wrong = log.connection.execute(f"""
        SELECT count(pmf), count_if(pmf IS NOT NULL AND NOT coalesce(
            abs(list_sum(pmf) - 1) <= {_MASS_TOLERANCE} AND list_min(pmf) >= 0, false))
        FROM {VIEW} WHERE status = ''""").fetchall()[0]
    if not rows:
        return None
    level: Level = "stop" if wrong > gates.most_defects * rows else _caution(wrong > 0)
    return Check("pmf_mass", level, wrong / rows, f"{wrong:,} logged distributions do not sum to one")


def action_cells(log: Log) -> list[Cell]:
    """Counts of every arm and slot, from one grouping of the shown and one of the eligible."""
    rows = log.connection.execute(f"""
        WITH counted AS (SELECT slot, arm, arms, pmf, propensity FROM {VIEW} WHERE status = ''),
        shown AS (
            SELECT slot, arm, count(*) AS shown, sum(1 / propensity) AS mass,
                   sum((1 / propensity) * (1 / propensity - 1)) AS variance
            FROM counted GROUP BY slot, arm),
        eligible AS (
            SELECT slot, arm, count(*) AS eligible, count(p) AS known, sum(p) AS expected
            FROM (SELECT slot, unnest(arms) AS arm, unnest(pmf) AS p FROM counted) GROUP BY slot, arm)
        SELECT eligible.slot, eligible.arm, coalesce(shown, 0), eligible, coalesce(mass, 0),
               coalesce(variance, 0), CASE WHEN known = eligible THEN expected END
        FROM eligible LEFT JOIN shown USING (slot, arm) ORDER BY 1, 2""").fetchall()
    return [Cell(*row) for row in rows]


def action_mass(cells: list[Cell], gates: Gates) -> Check | None:
    """Per arm, the sum of 1/p over its rows should be the rows where it was eligible."""
    tested = [cell for cell in cells if cell.shown >= LEAST_DRAWS and cell.variance > 0]
    if not tested:
        return None
    worst = max(tested, key=lambda cell: abs(cell.z))
    chance = min(1.0, len(tested) * 2 * NormalDist().cdf(-abs(worst.z)))
    text = f"of {len(tested)} arms shown {LEAST_DRAWS} times, {worst.arm!r} is farthest off: z {worst.z:+.1f}"
    return Check("action_mass", _caution(chance < gates.least_chance), worst.z, text)


def sample_ratio(cells: list[Cell], gates: Gates) -> Check | None:
    """Whether arms came as often as the logged distributions say: Pearson's chi-square, arms by slots."""
    known = [(cell, cell.expected) for cell in cells if cell.expected and cell.expected >= _LEAST_EXPECTED]
    freedom = len(known) - len({cell.slot for cell, _ in known})
    if freedom < 1:
        return None
    statistic = sum((cell.shown - expected) ** 2 / expected for cell, expected in known)
    chance = chi_square_tail(statistic, freedom)
    found = f"chi-square {statistic:.1f} of {freedom}, p = {chance:.3g}"
    doubtful = chance < gates.least_chance
    text = f"arms {'did not come' if doubtful else 'came'} as often as logged: {found}"
    return Check("sample_ratio", _caution(doubtful), chance, text)


def quantised(log: Log) -> Check | None:
    """Whether propensities are shares of a number of draws, and say so: such a one is itself an estimate."""
    grids = ", ".join(
        f"count_if(abs(propensity * {n} - round(propensity * {n})) < {_ON_GRID})" for n in _GRIDS
    )
    rows, values, announced, *on_grid = log.connection.execute(f"""
        SELECT count(*), approx_count_distinct(propensity), count(propensity_mc_n), {grids}
        FROM {VIEW} WHERE status = ''""").fetchall()[0]
    if not rows:
        return None
    grid = next((n for n, count in zip(_GRIDS, on_grid, strict=True) if count > 0.99 * rows), None)
    if announced or values < _MANY_VALUES or grid is None:
        text = f"{announced:,} propensities are estimates, and say from how many draws"
        return Check("quantised", "ok", announced / rows, text)
    text = f"propensities look like shares of {grid:,} draws: without propensity_mc_n their error is unknown"
    return Check("quantised", "caution", 0.0, text)


def _caution(doubtful: bool) -> Level:
    return "caution" if doubtful else "ok"
