"""What the terminal shows of a fitted course: means, SDs, correlations and patients seen, in the data and as simulated. 80 columns."""

import math

from simtrials.engine.real_trial.outcome import Compared, CourseFit
from simtrials.report.names import spoken
from simtrials.report.numbers import fixed, plain, whole
from simtrials.report.text import aligned, paragraph

PARTS = (("mean", "mean, points", 1.0, 2), ("sd", "SD, points", 1.0, 2), ("seen", "seen, %", 100.0, 1))


def summary(fit: CourseFit) -> str:
    """The terminal block of a fit."""
    sizes = ", ".join(f"{spoken(arm)} {n}" for arm, n in fit.arms.items())
    head = paragraph(f"{fit.name}: {fit.scale.name} of {whole(sum(fit.arms.values()))} patients ({sizes}) in {fit.source}")
    lines: list[tuple[str, ...]] = [("week", "arm", "data (SE)", "simulated", "apart, SE")]
    for part, title, factor, places in PARTS:
        lines.append((title, "", "", "", ""))
        lines += [_row(row, factor, places) for row in fit.compared if row.part == part]
    lines.append(("correlation", "", "", "", ""))
    lines += [_row(row, 1.0, 2) for row in fit.compared if row.part == "correlation"]
    notes = [*fit.notes, "Means, SDs and correlations of the data are estimated as if nobody had been lost, under missing at random."]
    if fit.counts:
        notes.append(f"Left out: {', '.join(f'{whole(n)} {what}' for what, n in fit.counts.items())}.")
    return "\n".join([head, aligned(lines, right=(2, 3, 4), flexible=(1,)), *(paragraph(note, "  ") for note in notes)])


def _row(row: Compared, factor: float, places: int) -> tuple[str, ...]:
    week = plain(row.week) if row.other is None else f"{plain(row.other)} and {plain(row.week)}"
    error = math.hypot(row.std_error, row.mcse)
    data = f"{fixed(factor * row.data, places)} ({fixed(factor * row.std_error, places)})"
    return (f"  {week}", spoken(row.arm), data, fixed(factor * row.fitted, places), fixed((row.data - row.fitted) / error, 1))
