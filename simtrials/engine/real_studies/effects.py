"""Effect sizes of rows: benefit positive for scores, active / placebo for ratios, and why a row has none."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from simtrials.core.status import Status
from simtrials.engine.real_studies.question import Question
from simtrials.engine.real_studies.rows import StudyRow
from simtrials.stats.effect_sizes import EffectSizes, effect_sizes

ADDED = 0.5
"""Added to the four cells of a row in which one is 0."""


def with_effects(rows: Sequence[StudyRow], question: Question) -> tuple[tuple[StudyRow, ...], tuple[tuple[StudyRow, str], ...]]:
    """The rows with effect and variance, and those that have none with the reason.

    Counts: half an event is added to the four cells of a row with an empty one; rows without events (or without others) in both arms say nothing
    about a ratio and are left out. Scores: lower is better unless the scale is known to rise, and a benefit is positive.
    """
    if question.given or not rows:
        return tuple(rows), ()
    counts = question.outcome is not None and question.outcome.events is not None
    found = _of_counts(rows, question) if counts else _of_scores(rows, question)
    kept, left_out = [], []
    for row, yi, vi, status in zip(rows, found.yi, found.vi, found.status, strict=True):
        if int(status) == Status.OK:
            added = counts and question.measure.name in ("RR", "OR", "RD") and _has_zero(row)
            notes = (*row.notes, f"{ADDED:g} added to each cell") if added else row.notes
            kept.append(replace(row, yi=float(yi), vi=float(vi), notes=notes))
        else:
            left_out.append((row, _reason(row, int(status), counts)))
    return tuple(kept), tuple(left_out)


def _of_counts(rows: Sequence[StudyRow], question: Question) -> EffectSizes:
    ratio = question.measure.ratio
    cells = {f"{what}_{arm}": [getattr(getattr(row, arm), what) for row in rows] for what in ("events", "n") for arm in ("active", "control")}
    return effect_sizes(question.measure.name, add=ADDED, drop00=ratio, **cells)  # type: ignore[arg-type]


def _of_scores(rows: Sequence[StudyRow], question: Question) -> EffectSizes:
    moments = {f"{what}_{arm}": [getattr(getattr(row, arm), what) for row in rows] for what in ("mean", "sd", "n") for arm in ("active", "control")}
    found = effect_sizes(question.measure.name, **moments)  # type: ignore[arg-type]
    benefit = np.where([row.falls for row in rows], -1.0, 1.0)
    return found._replace(yi=benefit * found.yi)


def _has_zero(row: StudyRow) -> bool:
    return any(arm.events in (0, arm.n) for arm in (row.active, row.control))


def _reason(row: StudyRow, status: int, counts: bool) -> str:
    """Why a row with all its numbers has no effect."""
    if counts:
        events = row.active.events + row.control.events
        return "no events in either arm" if events == 0 else "events in every patient" if events == row.active.n + row.control.n else "no events"
    return "fewer than 2 patients in an arm" if status == Status.TOO_FEW_PATIENTS else "an SD of 0"
