"""Forest and funnel plot of a review of real studies."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simtrials.core.errors import SimtrialsError, did_you_mean
from simtrials.engine.real_studies.outcome import Review
from simtrials.report.figures import drawn
from simtrials.report.figures.canvas import image, save
from simtrials.report.figures.forest import Forest, Mean, Section
from simtrials.report.figures.funnel import Funnel
from simtrials.report.numbers import fixed
from simtrials.report.real_studies import (
    cell_of,
    counts_events,
    effect_of,
    finding,
    has_prediction,
    heterogeneity_in_words,
    rule_in_words,
    trials_in_words,
)
from simtrials.stats.meta_analysis import MetaAnalysis

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES = ("forest", "funnel")


def forest_of(review: Review) -> Forest:
    """The forest plot of a review, in groups where it has them."""
    found, effect = review.pooled, effect_of(review)
    counts = counts_events(review)
    arms = {}
    if not all(math.isnan(study.active.n) for study in review.studies):
        arms["Drug"] = [cell_of(study.active, counts) for study in review.studies]
        arms[review.control_word.capitalize()] = [cell_of(study.control, counts) for study in review.studies]
        if counts:
            arms = {f"{name}, n/N": cells for name, cells in arms.items()}
    several = len(review.studies) > 1
    new = Mean("New trial (95% PI)", float(found.estimate), float(found.prediction_lower), float(found.prediction_upper))
    varied = heterogeneity_in_words(review, "²")
    return Forest(
        title=_title(review),
        names=[study.name for study in review.studies],
        arms=arms,
        yi=review.yi,
        vi=review.vi,
        weights=review.weights,
        effect=effect,
        note=f"{trials_in_words(review)}; {rule_in_words(review)}{f'; {_squared(review)}' if varied else ''}.",
        sentence=_sentence(review),
        mean=_mean("Mean", found) if several and math.isfinite(float(found.estimate)) else None,
        prediction=new if has_prediction(review) else None,
        sections=_sections(review),
    )


def _squared(review: Review) -> str:
    """`tau² 0.01 (0.00 to 0.52), I² 14%`."""
    if review.method == "common":
        return heterogeneity_in_words(review, "²")
    found = review.pooled
    tau2, low, high = (float(value) for value in (found.tau2, found.tau2_lower, found.tau2_upper))
    limits = "" if math.isnan(low) or math.isnan(high) else f" ({fixed(low, 2)} to {fixed(high, 2)})"
    return f"tau² {fixed(tau2, 2)}{limits}, I² {fixed(100 * float(found.i2), 0)}%"


def _mean(label: str, found: MetaAnalysis) -> Mean:
    return Mean(label, float(found.estimate), float(found.lower), float(found.upper))


def _sections(review: Review) -> tuple[Section, ...]:
    if review.groups is None:
        return ()
    made = []
    for group in review.groups.groups:
        members = [int(i) for i in np.flatnonzero(group.members)]
        several = len(members) > 1 and math.isfinite(float(group.pooled.estimate))
        made.append(Section(group.name, members, _mean(f"Mean, {len(members)} trials", group.pooled) if several else None))
    return tuple(made)


def funnel_of(review: Review) -> Funnel:
    """The contour funnel plot of a review."""
    mean = float(review.pooled.estimate)
    names = [study.name for study in review.studies]
    return Funnel(_title(review), review.yi, review.vi, effect_of(review), _sentence(review), mean if math.isfinite(mean) else None, None, names)


def _title(review: Review) -> str:
    outcome = review.question.outcome
    about = outcome.spoken.capitalize() if outcome is not None else "Effects"
    where = f", where {review.where}" if review.where else ""
    return f"{about}, {trials_in_words(review)} (data: {review.source}{where})"


def _sentence(review: Review) -> str:
    effect, found = effect_of(review), review.pooled
    interval = effect.interval(float(found.estimate), float(found.lower), float(found.upper))
    return f"{trials_in_words(review)}: mean {effect.label} {interval}. {finding(review, effect)}"


def draw(review: Review, name: str = "forest", path: str | Path | None = None) -> "Figure":
    """The figure called forest or funnel; saved as SVG or PNG when a path is given."""
    if name not in FIGURES:
        raise SimtrialsError(f"no figure called {name!r}{did_you_mean(name, FIGURES)}")
    figure = drawn(forest_of(review) if name == "forest" else funnel_of(review))
    if path is not None:
        save(figure, path)
    return figure


def images(review: Review) -> dict[str, bytes]:
    """Both figures as the bytes of SVG and PNG files, by name."""
    return {f"{name}.{form}": image(draw(review, name), form) for name in FIGURES for form in ("svg", "png")}
