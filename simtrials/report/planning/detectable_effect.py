"""The smallest effect that is shown with a power: the lines of the terminal, and the drawing."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from simtrials.core.arrays import FloatArray
from simtrials.engine.evidence.scenario import EvidenceScenario
from simtrials.planning.detectable_effect import DetectableEffect
from simtrials.report import numbers
from simtrials.report.planning.figures import Answer, Curve, PowerCurves, drawn_and_saved
from simtrials.report.planning.text import in_percent, name_in_words
from simtrials.report.text import INDENT, paragraph

WORDS = {
    "points": "a benefit of {} points",
    "mean_points": "a mean benefit of {} points",
    "smd": "an SMD of {}",
    "mean_smd": "a mean SMD of {}",
    "log_odds_ratio": "a log odds ratio of {}",
    "odds_ratio": "an odds ratio of {}",
    "risk": "a risk of {}",
}
AXES = {
    "points": "benefit (points)",
    "mean_points": "mean benefit (points)",
    "smd": "benefit (SMD)",
    "mean_smd": "mean benefit (SMD)",
    "log_odds_ratio": "benefit (log odds ratio)",
    "odds_ratio": "odds ratio",
    "risk": "risk under the drug",
}
MOST_PLACES = 3


def effect_summary(found: DetectableEffect) -> str:
    """`A mean SMD of 0.47 (95% interval 0.46 to 0.48) is shown in 80 of 100 reviews`, what it took, and the other analyses there."""
    asked = name_in_words(found.scenario, found.analysis)
    noun = "reviews" if isinstance(found.scenario, EvidenceScenario) else "trials"
    cost = f"{numbers.whole(found.found.replicates)} {noun} simulated, {numbers.duration(found.seconds)}"
    field = f"field {found.field.path}, declared {numbers.plain(found.field.declared)}"
    if found.effect is None or found.interval is None:
        return "\n".join([paragraph(f"{found.scenario.name}: {asked}: {found.found.reason}.", INDENT), paragraph(f"{field}; {cost}", INDENT)])
    size = WORDS[found.field.size].format(effect_in_digits(found))
    head = f"{size} (95% interval {_limits(found)}) is the smallest that is shown in {numbers.percent(found.target)} of 100 such {noun} in {asked}"
    lines = [paragraph(head[0].upper() + head[1:], INDENT), paragraph(f"{field}; {cost}", INDENT)]
    rest = [f"{name_in_words(found.scenario, name)} {in_percent(share)}" for name, share in found.others.items() if name != found.analysis]
    if rest:
        lines.append(paragraph(f"with that effect: {'; '.join(rest)}", INDENT))
    return "\n".join(lines)


def effect_in_digits(found: DetectableEffect) -> str:
    """The effect with the digits that its error allows, rounded away from no effect, so that it has the power that was asked for."""
    assert found.effect is not None
    factor = 10.0 ** _places(found)
    away = math.ceil if found.field.good or found.field.size != "risk" else math.floor
    return numbers.fixed(away(round(found.effect * factor, 6)) / factor, _places(found))


def _places(found: DetectableEffect) -> int:
    assert found.interval is not None
    return numbers.decimals(abs(found.interval[1] - found.interval[0]) / 2 / numbers.Z95, MOST_PLACES)


def _limits(found: DetectableEffect) -> str:
    assert found.interval is not None
    return " to ".join(numbers.fixed(end, _places(found)) for end in sorted(found.interval))


def effect_drawing(found: DetectableEffect) -> PowerCurves:
    """The drawing of a search over the size of an effect."""
    field, line = found.field, found.line
    asked = name_in_words(found.scenario, found.analysis)
    curve = Curve(asked, [field.at(n) for n, _ in found.found.looks], [share for _, share in found.found.looks], {})
    title, noun = f"Which effect is shown? {found.scenario.name}", "reviews" if isinstance(found.scenario, EvidenceScenario) else "trials"
    axis = AXES[field.size]
    if line is None or found.effect is None or found.interval is None:
        return PowerCurves(title, axis, [curve], found.target, f"{found.found.reason}.", joined=False)

    def fitted(low: float, high: float) -> tuple[FloatArray, FloatArray]:
        values = [x for x in np.linspace(low, high, 300) if field.has(float(x))]
        steps = [field.place(float(x)) / field.unit for x in values]
        return np.array(values), np.array([line.power(step)[0] for step in steps])

    words = f"{effect_in_digits(found)} ({_limits(found)})"
    sentence = f"{WORDS[field.size].format(effect_in_digits(found))} is shown in {numbers.percent(found.target)} of 100 such {noun}."
    answer = Answer(found.effect, (min(found.interval), max(found.interval)), words, fitted, of="effect")
    return PowerCurves(title, axis, [curve], found.target, sentence[0].upper() + sentence[1:], answer, joined=False)


def draw_effect(found: DetectableEffect, path: str | Path | None) -> Any:
    """The figure, saved when a path is given."""
    return drawn_and_saved(effect_drawing(found), path)
