"""Rows of group I of trial_cases.csv: interaction, enrichment, misclassification."""

from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri
from scipy.stats import binom
from statistical import exact
from statistical.cases_means import means, t_power
from statistical.helpers import Check, marker_population, mean_estimate, rejection, sd_of_estimates, trial

from simtrials.stats import closed_form

CUT = float(np.exp(ndtri(0.6)))
"""40% of all patients reach it."""
ABOVE_THE_CUT = {"kind": "continuous", "effects": {"active": {"kind": "threshold", "cut": CUT, "points": 0.5}}}


def interaction() -> Check:
    slope = float(2 * np.sqrt(0.02))  # f2 = slope^2 / 4 with a marker of SD 1, a residual SD of 1 and half of the patients in each arm
    endpoint = {"kind": "continuous", "effects": {"active": {"kind": "log_linear", "zero_at": 1.0, "harm_below": True, "points": slope}}}
    analyses = {"test": {"kind": "interaction", "modifier": "ln(marker)"}}
    scenario = trial("I01", endpoint, analyses, 395, allocation={"kind": "complete"}, **marker_population())
    wrong = {"formula for fixed predictors": float(closed_form.regression_power(0.02, n_patients=395, n_predictors=3))}
    design = "treatment by marker interaction, f2 .02, 395 by coin"
    return Check("I01", design, scenario, rejection(), exact.interaction_power(slope, 395), "integration over random markers", wrong, 0.8006159)


def group_by_time() -> Check:
    endpoint = means(0.5, mean=1.0, baseline={"mean": 1.0, "sd": 1.0, "correlation": 0.6})
    scenario = trial("I03", endpoint, {"test": {"kind": "t_test", "outcome": "change"}}, 104)
    value = float(closed_form.group_by_time_power(0.5, correlation=0.6, n_active=52, n_control=52))
    design = "group by time: t test of change, d 0.5, correlation .6, 52 + 52"
    return Check("I03", design, scenario, rejection(), value, "noncentral t", {"end score for change": t_power(0.5, 1, 104)}, 0.80)


def standard_errors() -> list[Check]:
    """Empirical SE of a main effect and of an interaction with a stratum of half of the patients; the size of the stratum is binomial."""
    population = {"population": {"kind": "gaussian_copula", "covariates": {"marked": {"kind": "bernoulli", "probability": 0.5}}}}
    analyses = {"main": {"kind": "t_test"}, "interaction": {"kind": "interaction", "modifier": "marked >= 0.5"}}
    allocation = {"kind": "stratified_blocks", "strata": ["marked >= 0.5"], "block_size": 2}
    scenario = trial("I05", {"kind": "continuous", "sd": 10.0}, analyses, 1000, allocation=allocation, **population)
    size = np.arange(400, 601)
    chance = binom.pmf(size, 1000, 0.5) / binom.pmf(size, 1000, 0.5).sum()
    main, apart = 10 * float(np.sqrt(2 / 500)), float(np.sqrt(chance @ (400 / size + 400 / (1000 - size))))

    def check(name: str, what: str, value: float, wrong: dict[str, float], published: float) -> Check:
        design = f"SE of {what}, SD 10, N 1,000"
        return Check(f"I05 {name}", design, scenario, sd_of_estimates(name), value, "closed form", wrong, published, value / np.sqrt(2))

    return [
        check("main", "a main effect", main, {"SE of one mean": 10 / np.sqrt(500)}, 0.63),
        check(
            "interaction", "an interaction with half of the patients", apart, {"SE of a main effect": main, "coded 0 and 1": apart / np.sqrt(2)}, 1.26
        ),
    ]


def enrichment() -> list[Check]:
    full, diluted, small = t_power(0.5, 1, 200), t_power(0.2, 1, 200), t_power(0.5, 1, 80)

    def check(name: str, n: int, rules: list[dict[str, Any]], value: float, method: str, wrong: dict[str, float], published: float) -> Check:
        scenario = trial(name, ABOVE_THE_CUT, {"test": {"kind": "t_test"}}, n, eligibility=rules, **marker_population())
        design = f"t test, effect 0.5 in 40% by marker: {'enriched' if rules else 'all comers'}, {n // 2} + {n // 2}"
        return Check(name, design, scenario, rejection(), value, method, wrong, published)

    everybody = exact.t_power_with_responders(0.5, 0.4, 100, 100)
    rule = [{"variable": "marker", "at_least": CUT}]
    mixed = {"mixture taken for one normal": diluted, "effect not diluted": full}
    return [
        check("I07 all", 200, [], everybody, "doubly noncentral t", mixed, 0.290),
        check("I07 200", 200, rule, full, "noncentral t", {"effect diluted": diluted}, 0.9404),
        check("I07 80", 80, rule, small, "noncentral t", {"as many as all comers": full}, 0.5981),
    ]


def misclassified() -> Check:
    """Enrolled by a measured marker, 70% of them truly at or above the cut: the within-person SD that gives this share is solved for."""
    kind = {"mean": 0.0, "between_sd": 1.0, "at_least": CUT}
    within = float(brentq(lambda sd: float(closed_form.usual_above_share(CUT, within_sd=sd, **kind)) - 0.7, 0.05, 5.0, xtol=1e-13))
    rule = [{"variable": "marker", "at_least": CUT}]
    scenario = trial("I09", ABOVE_THE_CUT, {"test": {"kind": "t_test"}}, 200, eligibility=rule, **marker_population(within_person_sd=within))
    sd = float(np.sqrt((2 + 0.5**2 * 0.7 * 0.3) / 100))
    design = "mean estimate, effect 0.5 in the truly positive, 70% of the enrolled"
    return Check("I09", design, scenario, mean_estimate(), 0.35, "mixture", {"effect by the measured marker": 0.5, "nobody selected": 0.2}, 0.35, sd)


ROWS = [interaction(), group_by_time(), *standard_errors(), *enrichment(), misclassified()]
