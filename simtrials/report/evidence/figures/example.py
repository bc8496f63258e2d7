"""One simulated body of evidence as a reviewer draws it: forest and funnel plot of the first replicate."""

from collections.abc import Mapping

import numpy as np

from simtrials.engine.evidence.result import EvidenceRun
from simtrials.engine.evidence.run import ready_evidence
from simtrials.engine.files import tables_of
from simtrials.evidence.gather import Body
from simtrials.evidence.syntheses import Pooled
from simtrials.evidence.table import effects_of
from simtrials.report.effects import Effect
from simtrials.report.evidence.rows import RATIOS, UNITS, leading, power_rows
from simtrials.report.figures.forest import Forest, Mean
from simtrials.report.figures.funnel import Funnel
from simtrials.report.numbers import fixed, percent
from simtrials.stats.meta_analysis import meta_analysis

MOST_STUDIES = 60
_BODIES: dict[str, Body] = {}
"""The first block of the last run that was drawn, so that several figures of it simulate it once."""


def _body(run: EvidenceRun) -> Body:
    key = f"{run.folder}-{run.digest}"
    if key not in _BODIES:
        _BODIES.clear()
        simulation = ready_evidence(run.scenario, tables_of(run.scenario))
        _BODIES[key] = simulation.body(0, keep_unseen=True)
    return _BODIES[key]


def _effect(run: EvidenceRun, name: str) -> Effect:
    scale = run.meanings[name].scale
    ratio = scale in RATIOS
    good, bad = ("favors drug", "favors control") if run.meanings[name].benefit > 0 else ("favors control", "favors drug")
    return Effect(RATIOS.get(scale, UNITS[scale]), ratio, bad, good)


def forests(run: EvidenceRun) -> Mapping[str, Forest]:
    """One for each outcome whose leading synthesis pools effect sizes."""
    found: dict[str, Forest] = {}
    for row in leading(run, power_rows(run)):
        synthesis = run.scenario.syntheses[row.name]
        if isinstance(synthesis, Pooled):
            made = _forest(run, row.name, synthesis)
            if made is not None:
                found[synthesis.outcome] = made
    return found


def _forest(run: EvidenceRun, name: str, synthesis: Pooled) -> Forest | None:
    table = _body(run).table
    effects = table.effects(synthesis.outcome)
    yi, vi = effects.yi[0], effects.vi[0]
    known = np.flatnonzero(np.isfinite(yi) & np.isfinite(vi))
    if not 2 <= known.size <= MOST_STUDIES:
        return None
    yi, vi = yi[known], vi[known]
    pooled = meta_analysis(yi, vi, tau2=synthesis.tau2, ci=synthesis.ci, level=1 - synthesis.alpha, prediction=synthesis.prediction)  # type: ignore[arg-type]
    tau2 = float(np.nan_to_num(pooled.tau2))
    weights = 1 / (vi + tau2)
    numbers, labels = table.numbers[synthesis.outcome], run.scenario.studies.labels()
    shown = numbers.events if table.measured[synthesis.outcome].binary else numbers.n
    arms = {}
    for head, arm in (("drug", 1), ("control", 0)):
        texts = [f"{shown[0, i, arm]:.0f}" for i in known]
        arms[head] = [f"{t}/{numbers.n[0, i, arm]:.0f}" for t, i in zip(texts, known, strict=True)] if shown is not numbers.n else texts
    level = percent(1 - synthesis.alpha)
    mean = Mean(f"Mean ({level}% CI)", float(pooled.estimate), float(pooled.lower), float(pooled.upper))
    prediction = Mean(f"New trial ({level}% PI)", float(pooled.estimate), float(pooled.prediction_lower), float(pooled.prediction_upper))
    note = (
        f"{known.size} simulated studies; tau {fixed(np.sqrt(tau2), 2)}, I2 {fixed(100 * float(np.nan_to_num(pooled.i2)), 0)}%; {synthesis.method}."
    )
    effect = _effect(run, name)
    sentence = f"The first simulated review: {effect.interval(mean.estimate, mean.lower, mean.upper)}."
    title = f"One simulated review: {synthesis.outcome.replace('_', ' ')}"
    known_mean = mean if np.isfinite(mean.lower) else None
    bar = prediction if synthesis.tau2 != "common" and np.isfinite(prediction.lower) else None
    return Forest(title, [labels[i] for i in known], arms, yi, vi, weights / weights.sum(), effect, note, sentence, known_mean, bar)


def funnels(run: EvidenceRun) -> Mapping[str, Funnel]:
    """One for the first outcome: the studies of the first review, unpublished ones hollow."""
    for row in leading(run, power_rows(run))[:1]:
        made = _funnel(run, row.name)
        if made is not None:
            return {run.scenario.syntheses[row.name].outcome: made}
    return {}


def _funnel(run: EvidenceRun, name: str) -> Funnel | None:
    body, synthesis = _body(run), run.scenario.syntheses[name]
    outcome = synthesis.outcome
    effects = body.table.effects(outcome)
    yi, vi, seen = [effects.yi[0]], [effects.vi[0]], [np.ones(effects.yi.shape[1], dtype=bool)]
    for rows, numbers in body.unseen:
        lost = effects_of(numbers[outcome], body.table.measured[outcome])
        here = rows == 0
        yi, vi, seen = [*yi, lost.yi[here]], [*vi, lost.vi[here]], [*seen, np.zeros(int(here.sum()), dtype=bool)]
    y, v, published = np.concatenate(yi), np.concatenate(vi), np.concatenate(seen)
    known = np.isfinite(y) & np.isfinite(v) & (v > 0)
    if known[: effects.yi.shape[1]].sum() < 2:
        return None
    truth = run.truths["scenario"][name].value
    hidden = int((~published[known]).sum())
    sentence = f"The first simulated review: {int(published[known].sum())} published studies" + (f", {hidden} that nobody saw." if hidden else ".")
    title = f"Small-study effects in one simulated review: {outcome.replace('_', ' ')}"
    mean = float(truth) if np.isfinite(truth) else None
    return Funnel(title, y[known], v[known], _effect(run, name), sentence, mean, published[known] if hidden else None, mean_word="true mean")
