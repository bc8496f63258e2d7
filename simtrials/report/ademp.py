"""The simulation study in the scheme of aims, data-generating mechanisms, estimands, methods, performance measures.

Source: Morris, White & Crowther 2019, Statistics in Medicine 38:2074.
"""

from collections.abc import Iterator

from simtrials.engine.declared import NULL, SCENARIO
from simtrials.engine.result import Run
from simtrials.inference.analyses import SETS, Analysis, Bayesian
from simtrials.report import numbers
from simtrials.report.assumed import biomarker_of, course_in_words, effects_of, shape_in_words
from simtrials.report.checks import effect_in_words
from simtrials.report.departures import in_words
from simtrials.report.names import admitted_in_words, interval_name, labels_of, question_of, spoken, spoken_assay, spoken_endpoint, spoken_in
from simtrials.report.precision import precision_sentences
from simtrials.report.rows import power_rows
from simtrials.report.sentences import benefit_in_words, levels_of, probabilities_of, sentence_case
from simtrials.report.tables import cell_in_words


def ademp(run: Run) -> list[tuple[str, list[str]]]:
    """The five parts, each as sentences."""
    return [
        ("Aims", [run.scenario.question or "Operating characteristics of the analyses under the scenario."]),
        ("Data-generating mechanisms", list(_mechanism(run))),
        (
            "Estimands",
            list(
                dict.fromkeys(
                    f"{sentence_case(run.estimand(name))}; truth from: {run.truths[SCENARIO][name].kind}." for name in run.scenario.analyses
                )
            ),
        ),
        ("Methods", [_method(run, name, analysis) for name, analysis in run.scenario.analyses.items()]),
        ("Performance measures", list(_performance(run))),
    ]


def _mechanism(run: Run) -> Iterator[str]:
    """Patients, measurements, rules, design, outcomes, effects, cells, in the order in which they happen."""
    scenario = run.scenario
    yield f"Patients: {in_words(scenario.population)}." if scenario.population else "Patients without covariates."
    yield from (f"{spoken_assay(name)}: {in_words(assay)}." for name, assay in scenario.assays.items())
    if scenario.eligibility:
        yield f"Enrolled: {'; '.join(admitted_in_words(rule, scenario) for rule in scenario.eligibility)}."
    design = scenario.design
    arms = ", ".join(f"{spoken(arm)} {ratio}" for arm, ratio in zip(design.arms, design.ratio, strict=True))
    yield f"Design: {numbers.whole(design.n_patients)} patients, allocation ratio {arms}, {in_words(design.allocation)}."
    for name, endpoint in scenario.endpoints.items():
        weeks = ", ".join(numbers.plain(week) for week in endpoint.visits)
        course = course_in_words(scenario, name)
        yield f"{spoken_endpoint(scenario, name)}: {spoken(endpoint.kind)}, week {weeks}; under control {course}."
    yield from (f"Correlation of {pair.between[0]} and {pair.between[1]}: {numbers.plain(pair.rho)}." for pair in scenario.correlations)
    yield from (f"Departure from the plan, {spoken(name)}: {in_words(departure)}." for name, departure in scenario.departures.items())
    for name, arm, effect in effects_of(scenario):
        shape = shape_in_words(effect, *biomarker_of(scenario, effect))
        yield f"Effect of {spoken(arm)}: {effect_in_words(scenario, run.portrait, name, arm)}; {shape}."
    cells = [cell_in_words(label) for cell, label in run.cells.items() if cell != SCENARIO]
    yield f"Also simulated with the same seed: {'; '.join(cells)}." if cells else "The same trials without any effect were not run."
    yield f"{numbers.whole(run.n_replicates)} replicates in each cell, seed {scenario.seed}."


def _method(run: Run, name: str, analysis: Analysis) -> str:
    scenario = run.scenario
    covariates = ", ".join(spoken_in(text, scenario) for text in analysis.covariate_names)
    adjusted = f", covariates {covariates}" if covariates else ""
    label = labels_of(scenario)[name]
    label = label.replace(", covariates", "") if covariates and analysis.label is None else label
    other = f"; interval: {interval_name(analysis)}" if interval_name(analysis) else ""
    return f"{question_of(scenario, name)}: {label}{adjusted}; {level_in_words(analysis)}; {SETS[analysis.analysis_set]}{other}."


def level_in_words(analysis: Analysis) -> str:
    """`two-sided alpha .05`, or the posterior probability that a Bayesian analysis asks for."""
    if isinstance(analysis, Bayesian):
        return f"posterior probability above {numbers.plain(analysis.probability)} that the benefit exceeds {numbers.plain(analysis.threshold)}"
    if analysis.one_sided_alpha is not None:
        return f"one-sided alpha {numbers.probability(analysis.one_sided_alpha)}"
    return f"two-sided alpha {numbers.probability(analysis.alpha)}"


def _performance(run: Run) -> Iterator[str]:
    shown = benefit_in_words(levels_of(run.scenario), probabilities_of(run.scenario))
    yield f"Power: share of all replicates that show a benefit ({shown}); a replicate without an estimate shows none."
    if NULL in run.cells:
        yield "Type I error: the same share, and the share significant in either direction, without any effect."
    yield from precision_sentences(power_rows(run), run.n_replicates, "trials")
    yield (
        "Bias, empirical SE, model SE, coverage with their Monte Carlo standard errors as in Morris, White and Crowther 2019 "
        "(doi 10.1002/sim.8086), table 6; that of a share from (x + 2) / (n + 4), so that it is never 0."
    )
    yield (
        "Exaggeration (type M): mean size of the statistically significant estimates over the true size; wrong sign (type S): share of them on the "
        "other side of zero; Gelman and Carlin 2014 (doi 10.1177/1745691614551642)."
    )
    yield "Ratios are judged on the log scale. A truth called least-false is the mean of the analysis over very large trials."
