"""The course of a symptom scale fitted to a real trial: placebo course, SDs, visit correlations, effect and loss of patients, as TOML."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simtrials.core.arrays import FloatArray
from simtrials.core.data import Improves, Scale
from simtrials.core.errors import DeclarationError, Problem
from simtrials.core.matrices import nearest_correlation, not_a_correlation
from simtrials.core.measures import share_mcse
from simtrials.core.rng import Purpose, Streams
from simtrials.engine.cells import ready
from simtrials.engine.files import scenario_from
from simtrials.engine.real_trial.curves import Curve, fitted_curve
from simtrials.engine.real_trial.loss import Loss, loss_of
from simtrials.engine.real_trial.naming import Naming
from simtrials.engine.real_trial.outcome import Compared, CourseFit
from simtrials.engine.real_trial.read import RealTrial, read_trial
from simtrials.stats.incomplete_normal import Moments, normal_moments
from simtrials.stats.rounded_normal import latent_correlation, latent_mean, latent_moments
from simtrials.trial import simulate

FEWEST = 20
"""Patients below which no course is fitted."""
MOST_LEFT_OUT = 200
"""Groups of patients left out in turn, for standard errors."""
N_SIMULATED = (256, 400)


def fit_course(
    data: str | Path,
    *,
    patient: str | None = None,
    arm: str | None = None,
    control: str | None = None,
    week: str | None = None,
    weeks: Sequence[float] = (),
    score: str | None = None,
    baseline: str | None = None,
    scale: str | None = None,
    score_range: tuple[float, float] | None = None,
    improves: Improves | None = None,
    where: str | None = None,
    subjects: str | Path | None = None,
    name: str | None = None,
    seed: int = 1,
) -> CourseFit:
    """Fit the course of a symptom scale to a real trial in long format.

    Parameters
    ----------
    data, patient, arm, control, week, weeks, score, baseline, scale, improves, where, subjects : as for `analyze`; a file without arms is
        taken for one arm of controls
    score_range : lowest and highest possible score, for a scale that is not known
    name : of the endpoint, by default that of the score's column
    seed : of the simulated patients that are compared with the data

    Notes
    -----
    Means by arm (one at baseline, which lies before randomisation), SDs and correlations (of all arms together) are maximum likelihood
    estimates under missing at random; their standard errors leave out patients in turn. What is declared is the latent normal whose rounded,
    bounded scores have these moments. The control course and the benefit of each other arm are exponential curves through the visits, weighted
    by their errors. Loss is a logistic regression of leaving in each interval on arm, interval and the last change seen.

    Raises
    ------
    DeclarationError
        With everything that is wrong with the file, or why no course can be fitted.
    """
    scheduled = tuple(float(w) for w in weeks)
    naming = Naming(patient, arm, control, week, scheduled, score, baseline, scale, improves, False, where, (), subjects, one_arm=True)
    trial = read_trial(data, naming)
    shape = _scale_of(trial, score_range)
    values, group = _values(trial, shape)
    moments = normal_moments(values, group)
    spread = _leaving_out(values, group, moments)
    notes: list[str] = []
    endpoint = _endpoint(trial, shape, moments, spread, notes)
    loss = loss_of(values, group, trial.data.arms, shape.improves)
    notes += loss.notes
    title = name or trial.name
    declared: dict[str, Any] = {"endpoints": {title: endpoint}}
    if loss.departures:
        declared["departures"] = loss.departures
    simulated = _simulated(title, declared, trial.data.arms, seed)
    compared = tuple(_comparison(trial, moments, spread, loss, simulated))
    arms = {label: int((group == code).sum()) for code, label in enumerate(trial.data.arms)}
    return CourseFit(title, trial.source, trial.checksum, shape, arms, trial.measured.weeks, declared, compared, trial.counts, tuple(notes), seed)


def _scale_of(trial: RealTrial, score_range: tuple[float, float] | None) -> Scale:
    known = trial.endpoint.symptom_scale
    if known is not None:
        return known
    if score_range is None or score_range[0] >= score_range[1]:
        sentence = "name a known scale, or give the lowest and the highest possible score as score_range"
        raise DeclarationError([Problem("scale", sentence)], trial.source)
    return Scale(trial.name, *score_range, None, trial.measured.improves)


def _values(trial: RealTrial, scale: Scale) -> tuple[FloatArray, np.ndarray]:
    """Baseline and visits (n, 1 + V) of the patients who can be used, and their arm."""
    measured, problems = trial.measured, []
    if measured.baseline is None:
        raise DeclarationError([Problem("baseline", "a course needs scores at baseline; name their column")], trial.source)
    values = np.concatenate([measured.baseline[0][:, np.newaxis], measured.value[0]], axis=1)
    arm = trial.data.arm[0]
    usable = (arm >= 0) & ~np.isnan(values[:, 0])
    known = values[~np.isnan(values)]
    if (known != np.rint(known)).any():
        problems.append(Problem("score", f"scores of a symptom scale are whole numbers, got {known[known != np.rint(known)][0]:g}"))
    if ((known < scale.minimum) | (known > scale.maximum)).any():
        problems.append(Problem("score_range", f"scores reach from {known.min():g} to {known.max():g}"))
    seen = (~np.isnan(values[usable])).sum(axis=0)
    if usable.sum() < FEWEST or seen.min() < FEWEST // 2:
        problems.append(Problem("data", f"{usable.sum()} patients with a baseline, {seen.min()} at the thinnest visit; at least {FEWEST} are needed"))
    for code, label in enumerate(trial.data.arms):
        if (~np.isnan(values[usable & (arm == code)])).sum(axis=0).min() < 2:
            problems.append(Problem("data", f"arm {label!r} has fewer than two patients at a visit; leave it out with where"))
    if problems:
        raise DeclarationError(problems, trial.source)
    return values[usable], arm[usable].astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Spread:
    """Moments with groups of patients left out in turn, (J, ...)."""

    means: FloatArray
    sds: FloatArray
    correlations: FloatArray

    def covariance(self, replicates: FloatArray) -> FloatArray:
        """Covariance of an estimate from its values with groups left out, (J, k)."""
        away = replicates - replicates.mean(axis=0)
        return np.asarray((len(away) - 1) / len(away) * away.T @ away)

    def error(self, replicates: FloatArray) -> FloatArray:
        """Standard error of each element."""
        away = replicates - replicates.mean(axis=0)
        return np.asarray(np.sqrt((len(away) - 1) / len(away) * (away**2).sum(axis=0)))


def _leaving_out(values: FloatArray, group: np.ndarray, moments: Moments) -> _Spread:
    n_groups = min(len(values), MOST_LEFT_OUT)
    part = np.arange(len(values)) % n_groups
    found = [normal_moments(values[part != j], group[part != j], moments) for j in range(n_groups)]
    sds = np.sqrt(np.array([np.diag(one.covariance) for one in found]))
    correlations = np.array([one.covariance for one in found]) / (sds[:, :, np.newaxis] * sds[:, np.newaxis])
    return _Spread(np.array([one.means for one in found]), sds, correlations)


def _endpoint(trial: RealTrial, scale: Scale, moments: Moments, spread: _Spread, notes: list[str]) -> dict[str, Any]:
    """The endpoint as a scenario declares it, on the latent scale."""
    limits, weeks = (scale.minimum, scale.maximum), np.array(trial.measured.weeks)
    sds = np.sqrt(np.diag(moments.covariance))
    try:
        latent = [latent_moments(mean, sd, *limits) for mean, sd in zip(moments.means[0], sds, strict=True)]
    except ValueError as error:
        raise DeclarationError([Problem("score", str(error))], trial.source) from None
    means, latent_sds = np.array(latent).T
    control = fitted_curve(weeks, means[1:] - means[0], spread.covariance(spread.means[:, 0, 1:] - spread.means[:, 0, :1]))
    notes += _of_curve(control, f"course of {trial.data.arms[0]}")
    sign = 1.0 if scale.improves == "down" else -1.0
    effects: dict[str, dict[str, Any]] = {}
    for code, arm in enumerate(trial.data.arms[1:], start=1):
        active = np.array([latent_mean(m, sd, *limits) for m, sd in zip(moments.means[code, 1:], latent_sds[1:], strict=True)])
        differences = spread.covariance(spread.means[:, code, 1:] - spread.means[:, 0, 1:])
        benefit = fitted_curve(weeks, sign * (means[1:] - active), differences)
        notes += _of_curve(benefit, f"benefit of {arm}")
        effects[arm] = {
            "kind": "constant",
            "mean_points": _rounded(benefit.size),
            "at_week": float(weeks[-1]),
            "time_constant": benefit.time_constant,
        }
    known = trial.endpoint.symptom_scale is not None
    own = {"name": scale.name, "minimum": float(scale.minimum), "maximum": float(scale.maximum), "improves": scale.improves}
    found = {
        "kind": "scale",
        "scale": scale.name if known else own,
        "weeks": [float(week) for week in weeks],
        "baseline": {"mean": _rounded(means[0]), "sd": _rounded(latent_sds[0])},
        "control_course": {
            "change": _rounded(control.size),
            "at_week": float(weeks[-1]),
            "time_constant": control.time_constant,
            "score_sd": [_rounded(sd) for sd in latent_sds[1:]],
        },
        "correlation": {"kind": "unstructured", "includes_baseline": True, "values": _correlations(moments, latent, limits, notes)},
    }
    return found | ({"effects": effects} if effects else {})


def _correlations(moments: Moments, latent: Sequence[tuple[float, float]], limits: tuple[float, float], notes: list[str]) -> list[list[float]]:
    sds = np.sqrt(np.diag(moments.covariance))
    size = len(latent)
    matrix = np.eye(size)
    for i in range(size):
        for j in range(i):
            observed = moments.covariance[i, j] / (sds[i] * sds[j])
            matrix[i, j] = matrix[j, i] = latent_correlation(float(observed), latent[i], latent[j], *limits)
    if not_a_correlation(matrix, [str(i) for i in range(size)]) is not None:
        matrix = nearest_correlation(matrix)
        notes.append("The correlations of the latent scores cannot hold together; these are the nearest that can.")
    return [[1.0 if i == j else round(float(matrix[i, j]), 3) for j in range(size)] for i in range(size)]


def _of_curve(curve: Curve, what: str) -> list[str]:
    if curve.p_value is None or curve.p_value >= 0.01:
        return []
    return [f"The {what} is no exponential curve (P = {curve.p_value:.2g}); at week {curve.worst_week:g} it is {curve.worst:+.1f} points off."]


def _rounded(value: float) -> float:
    return round(float(value), 3)


@dataclass(frozen=True, slots=True)
class _Simulated:
    """Means (A, 1 + V), SDs (1 + V,), correlations, shares still seen (A, V), and the patients per arm behind them."""

    means: FloatArray
    sds: FloatArray
    correlations: FloatArray
    seen: FloatArray
    n: float


def _simulated(name: str, declared: Mapping[str, Any], arms: tuple[str, ...], seed: int) -> _Simulated:
    """What is declared, simulated: scores as they would all be seen, and who is still seen."""
    several = arms if len(arms) > 1 else (arms[0], "nobody")
    design = {
        "kind": "fixed",
        "arms": list(several),
        "n_patients": 4 * len(several) * 50,
        "allocation": {"kind": "blocks", "block_size": len(several)},
    }
    analysis = {"kind": "t_test", "endpoint": name, "arm": several[1]}
    scenario = scenario_from({"name": "course", "seed": seed, "design": design, "analyses": {"one": analysis}, **declared})
    made = ready(scenario, {}).trial
    n_replicates, n_patients = N_SIMULATED
    whole, seen = (simulate(made, Streams(seed, Purpose.RUN, 0), n_replicates, n_patients, complete=complete).data for complete in (True, False))
    measured = whole.endpoints[name]
    assert measured.baseline is not None
    values = np.concatenate([measured.baseline[:, :, np.newaxis], measured.value], axis=2)
    in_arm = [whole.arm == code for code in range(len(arms))]
    means = np.array([values[mask].mean(axis=0) for mask in in_arm])
    rest = np.concatenate([values[mask] - mean for mask, mean in zip(in_arm, means, strict=True)])
    covariance = rest.T @ rest / (len(rest) - len(arms))
    sds = np.sqrt(np.diag(covariance))
    shares = np.array([seen.endpoints[name].observed[mask].mean(axis=0) for mask in in_arm])
    return _Simulated(means, sds, covariance / np.outer(sds, sds), shares, len(rest) / len(arms))


def _comparison(trial: RealTrial, moments: Moments, spread: _Spread, loss: Loss, simulated: _Simulated) -> Iterator[Compared]:
    """Every mean, SD, correlation and share seen."""
    weeks = (0.0, *trial.measured.weeks)
    sds = np.sqrt(np.diag(moments.covariance))
    errors = spread.error(spread.means), spread.error(spread.sds), spread.error(spread.correlations)
    n_all = simulated.n * len(trial.data.arms)
    for code, arm in enumerate(trial.data.arms):
        for v, week in enumerate(weeks):
            mcse = simulated.sds[v] / np.sqrt(simulated.n)
            yield _row("mean", arm, week, None, moments.means[code, v], errors[0][code, v], simulated.means[code, v], mcse)
    for v, week in enumerate(weeks):
        yield _row("sd", "", week, None, sds[v], errors[1][v], simulated.sds[v], simulated.sds[v] / np.sqrt(2 * n_all))
    for v, week in enumerate(weeks):
        for u in range(v):
            rho = simulated.correlations[v, u]
            observed = moments.covariance[v, u] / (sds[v] * sds[u])
            yield _row("correlation", "", week, weeks[u], observed, errors[2][v, u], rho, (1 - rho**2) / np.sqrt(n_all))
    for code, arm in enumerate(trial.data.arms):
        for v, week in enumerate(weeks[1:]):
            share, fitted = loss.seen[code, v], simulated.seen[code, v]
            error, mcse = (share_mcse(round(p * n), round(n)) for p, n in ((share, loss.n[code]), (fitted, simulated.n)))
            yield _row("seen", arm, week, None, share, error, fitted, mcse)


def _row(part: str, arm: str, week: float, other: float | None, *numbers: float) -> Compared:
    return Compared(part, arm, week, other, *(float(number) for number in numbers))
