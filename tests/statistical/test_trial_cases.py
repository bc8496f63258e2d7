"""The rows of trial_cases.csv, simulated: each test as the package runs it, against the exact power of that same test.

A published power is often that of a formula. The simulation is judged against the exact value, which for the pooled z test, for interactions with
random markers and for responders cut from a scale is not the formula's. `docs/validation.md` has the table.
"""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtri
from scipy.stats import binom
from statistical import exact
from statistical.helpers import Check, Found, assert_agrees, enough_to_see, marker_population, mean_estimate, power, prepared, rejection, simulate, trial

from simtrials.engine.closed_forms import closed_form_power
from simtrials.engine.truth import truths
from simtrials.stats import closed_form

with (Path(__file__).parents[1] / "reference" / "trial_cases.csv").open(newline="", encoding="utf-8") as file:
    CASES = {row["id"]: row for row in csv.DictReader(file)}

LEFT_OUT = {
    "T12": "a paired t test: no part has pairs of treatments within a patient; the formula is tested in tests/reference",
    "A02q3": "an F test of three groups: analyses compare two arms; the formula is tested, and simulated by least squares, in tests/reference",
    "A02q10": "an F test of three groups, as A02q3",
    "A03q3": "an F test of three groups, as A02q3",
    "A03q10": "an F test of three groups, as A02q3",
}
"""Rows that these parts cannot express as a simulation, and why."""


# ---- T: two-sample t tests


def means(effect: float, sd: float = 1.0, **more: object) -> dict[str, object]:
    """A normal endpoint with a constant effect."""
    return {"kind": "continuous", "sd": sd, "effects": {"active": {"kind": "constant", "points": effect}}, **more}


def t_row(row: str, published: float, effect: float, sd: float, n: int, alpha: float, **wrong: float) -> Check:
    scenario = trial(row, means(effect, sd), {"test": {"kind": "t_test", "alpha": alpha}}, n)
    value = float(closed_form.t_test_power(effect, sd=sd, n_active=n / 2, n_control=n / 2, alpha=alpha))
    design = f"t test, difference {effect:g}, SD {sd:g}, {n // 2} + {n // 2}, alpha {alpha:g}"
    return Check(row, design, scenario, rejection(), value, "noncentral t", {name.replace("_", " "): found for name, found in wrong.items()}, published)


def t_power(effect: float, sd: float, n: int, alpha: float) -> float:
    return float(closed_form.t_test_power(effect, sd=sd, n_active=n / 2, n_control=n / 2, alpha=alpha))


SAS = {"T04b": (5, 12, 0.05), "T04d": (5, 18, 0.05), "T04f": (6, 12, 0.05), "T04h": (6, 18, 0.05)}
SAS |= {"T04j": (5, 12, 0.1), "T04l": (5, 18, 0.1), "T04n": (6, 12, 0.1), "T04p": (6, 18, 0.1)}


def sas_rows() -> list[Check]:
    rows = []
    for row, (effect, sd, alpha) in SAS.items():
        published = float(CASES[row]["expected"].removeprefix("power="))
        other_level = t_power(effect, sd, 200, 0.15 - alpha)
        rows.append(t_row(row, published, effect, sd, 200, alpha, level_of_the_other_table=other_level))
    return rows


def unequal_sds() -> Check:
    design = {"sd_active": 15.34, "sd_control": 18.23, "n_active": 85, "n_control": 170, "alpha": 0.1, "tails": "benefit"}
    endpoint = means(132.86 - 127.44, 18.23, arm_sd={"active": 15.34})
    scenario = trial("T06", endpoint, {"test": {"kind": "t_test", "variance": "welch", "one_sided_alpha": 0.05}}, 255, (2, 1))
    value, pooled = (float(closed_form.t_test_power_unequal_sd(5.42, **design, test=test)) for test in ("welch", "pooled"))
    words = "Welch test, difference 5.42, SD 15.34 in 85 active, 18.23 in 170 controls, one-sided .05"
    return Check("T06", words, scenario, power(), value, "double integral", {"pooled for Welch": pooled}, 0.8)


def noninferiority() -> Check:
    scenario = trial("T10", {"kind": "continuous"}, {"test": {"kind": "t_test", "one_sided_alpha": 0.05}}, 100)
    value, two_sided = (
        float(closed_form.noninferiority_t_power(0, margin=0.5, n_active=50, n_control=50, one_sided_alpha=alpha)) for alpha in (0.05, 0.025)
    )
    words = "non-inferiority by the lower limit of the t interval, margin 0.5, no difference, 50 + 50, one-sided .05"
    return Check("T10", words, scenario, lower_limit_above(-0.5), value, "noncentral t", {"limit of the 95% interval": two_sided}, 0.7989362)


def lower_limit_above(margin: float):
    return lambda found: float((found["test"].lower > margin).mean())


def larger_arm_varies_more() -> Check:
    scenario = trial("T14", {"kind": "continuous", "sd": 2.0, "arm_sd": {"active": 1.0}}, {"test": {"kind": "t_test"}}, 100, (4, 1))
    small, large = {"n_active": 20, "n_control": 80}, {"sd_active": 1, "sd_control": 2}
    value = float(closed_form.t_test_power_unequal_sd(0, **small, **large))
    swapped = float(closed_form.t_test_power_unequal_sd(0, **small, sd_active=2, sd_control=1))
    words = "pooled t test without effect, SD 1 in 20 active, 2 in 80 controls"
    wrong = {"SDs swapped": swapped, "equal SDs": 0.05, "Welch for pooled": float(closed_form.t_test_power_unequal_sd(0, **small, **large, test="welch"))}
    return Check("T14", words, scenario, rejection(), value, "double integral", wrong, 0.0045)


T_ROWS = [
    t_row("T01", 0.8036475, 0.4, 1, 200, 0.05, N_taken_per_arm=t_power(0.4, 1, 400, 0.05)),
    t_row("T03", 0.8014596, 0.5, 1, 128, 0.05, z_for_t=float(closed_form.z_test_power(0.5, n_active=64, n_control=64))),
    *sas_rows(),
    unequal_sds(),
    t_row("T08", 0.8, 10, 24, 184, 0.05, N_taken_per_arm=t_power(10, 24, 368, 0.05)),
    noninferiority(),
    larger_arm_varies_more(),
]


# ---- B: two proportions

TESTS = {
    "score": ({"kind": "risk_difference", "test": "score", "interval": "wald"}, closed_form.pooled_z_rejection),
    "wald": ({"kind": "risk_difference", "test": "wald", "interval": "wald"}, closed_form.unpooled_z_rejection),
    "fisher": ({"kind": "fisher_exact"}, closed_form.fisher_rejection),
}
"""The interval is not looked at, so the one that costs least is asked for."""


def enumerated(test: str, p_active: float, p_control: float, n_active: int, n_control: int) -> float:
    """Power in the direction of benefit."""
    return float(closed_form.enumerated_power(TESTS[test][1](n_active, n_control, tails="benefit"), p_active, p_control))


def formula(p_active: float, p_control: float, n_active: int, n_control: int) -> float:
    """The pooled-z formula."""
    return float(closed_form.proportions_power(p_active, p_control, n_active=n_active, n_control=n_control))


def proportions_row(row: str, published: float, test: str, p: tuple[float, float], n: tuple[int, int], wrong: dict[str, float]) -> Check:
    """`p` and `n` are active first."""
    shared = int(np.gcd(*n))
    endpoint = {"kind": "binary", "control_risk": p[1], "effects": {"active": {"kind": "constant", "risk": p[0]}}}
    scenario = trial(row, endpoint, {"test": TESTS[test][0]}, sum(n), (n[1] // shared, n[0] // shared))
    names = {"score": "pooled z", "wald": "unpooled z", "fisher": "Fisher's exact test"}
    design = f"{names[test]}, {p[0]:g} of {n[0]} against {p[1]:g} of {n[1]}"
    return Check(row, design, scenario, power(), enumerated(test, *p, *n), "enumeration", wrong, published)


def fewer_events_are_better() -> Check:
    """Row B05 once more with the event that the patient does not want, so that active must have the lower risk to show a benefit."""
    endpoint = {"kind": "binary", "control_risk": 0.2, "event_is": "bad", "effects": {"active": {"kind": "constant", "risk": 0.1}}}
    scenario = trial("B07 bad event", endpoint, {"test": TESTS["score"][0]}, 462, (2, 1))
    value = enumerated("score", 0.9, 0.8, 154, 308)
    words = "pooled z, event bad, 0.1 of 154 against 0.2 of 308"
    wrong = {"event taken for good": enumerated("score", 0.1, 0.2, 154, 308), "arms swapped": enumerated("score", 0.9, 0.8, 308, 154)}
    return Check("B07 bad event", words, scenario, power(), value, "enumeration", wrong)


def logistic_row() -> Check:
    p_active = float(expit(logit(0.3) + np.log(1.5)))
    endpoint = {"kind": "binary", "control_risk": 0.3, "effects": {"active": {"kind": "constant", "odds_ratio": 1.5}}}
    scenario = trial("B13", endpoint, {"test": {"kind": "logistic"}}, 853, allocation={"kind": "complete"})
    value = exact.log_odds_ratio_power(p_active, 0.3, 853)
    wrong = {"odds ratio taken for a risk ratio": exact.log_odds_ratio_power(0.45, 0.3, 853)}
    return Check("B13", "logistic regression on the arm, odds ratio 1.5, risk .3, 853 by coin", scenario, power(), value, "enumeration", wrong, 0.8001429)


def responders() -> list[Check]:
    """A normal score cut at the control median: score on a wide scale, so that rounding does not matter, and remission at or below the median."""
    wide = {"name": "wide", "minimum": 0, "maximum": 1000, "remission_cut": 500}
    endpoint = {
        "kind": "scale",
        "scale": wide,
        "weeks": [8],
        "baseline": {"mean": 500.5, "sd": 50.0},
        "control_course": {"change": 0.0, "at_week": 8, "time_constant": 0.0, "score_sd": 50.0},
        "correlation": {"kind": "compound_symmetry", "rho": 0.5},
        "effects": {"active": {"kind": "constant", "points": 25.0}},
    }
    score_test = {**TESTS["score"][0], "outcome": "remission"}
    scenario = trial("B15", endpoint, {"scores": {"kind": "t_test", "outcome": "score"}, "responders": score_test}, 128)
    p = float(closed_form.responder_proportion(0.5, 0.5))
    by_scores, cut = t_power(0.5, 1, 128, 0.05), enumerated("score", p, 0.5, 64, 64)
    wrong = {"pooled-z formula": formula(p, 0.5, 64, 64), "unpooled for pooled": enumerated("wald", p, 0.5, 64, 64)}
    return [
        Check("B15 scores", "t test of the scores, d 0.5, 64 + 64", scenario, rejection("scores"), by_scores, "noncentral t", {"cut scores": cut}, 0.8014596),
        Check("B15", "pooled z of responders cut at the control median, 64 + 64", scenario, power("responders"), cut, "enumeration", wrong, 0.59942),
    ]


def marginal_risks() -> list[Check]:
    """Risks under logit p = -1 + T + 2 X with X standard normal: arms off and on carry the line in X, the control arm has -1 alone."""
    slope = {"kind": "log_linear", "log_odds_ratio": 2.0, "harm_below": True}
    effects = {"off": {**slope, "zero_at": 1.0}, "on": {**slope, "zero_at": float(np.exp(-0.5))}}  # 2 (X + 1/2) = 1 + 2 X
    endpoint = {"kind": "binary", "control_risk": float(expit(-1)), "effects": effects}
    analyses = {arm: {"kind": "risk_difference", "arm": arm, "test": "wald", "interval": "wald"} for arm in effects}
    scenario = trial("B17", endpoint, analyses, 300, (1, 1, 1), arms=["control", *effects], **marker_population())
    risks = closed_form.marginal_effects(-1, 1, 2)
    known = float(expit(-1))

    def risk_in(arm: str):
        return lambda found: mean_estimate(arm)(found) + known

    def difference(found: Found) -> float:
        return mean_estimate("on")(found) - mean_estimate("off")(found)

    def sd(*p: float) -> float:
        return float(np.sqrt(sum(x * (1 - x) for x in p) / 100))

    p_off, p_on = float(risks.p_control), float(risks.p_active)
    words = "logit p = -1 + T + 2 X, X normal: "
    at_mean = {"risk at the mean of X": known}
    apart = {"difference at the mean of X": 0.5 - known}
    return [
        Check("B17 p0", words + "risk without T", scenario, risk_in("off"), p_off, "integration", at_mean, 0.3522736, sd(p_off, known)),
        Check("B17 p1", words + "risk with T", scenario, risk_in("on"), p_on, "integration", {"risk without T": p_off}, 0.5, sd(p_on, known)),
        Check("B17", words + "risk difference", scenario, difference, float(risks.risk_difference), "integration", apart, 0.1477264, sd(p_off, p_on)),
    ]


def b_rows() -> list[Check]:
    rows = []

    def add(row: str, published: float, test: str, p: tuple[float, float], n: tuple[int, int], *named: str) -> None:
        versions = {
            "unpooled for pooled": lambda: enumerated("wald", *p, *n),
            "pooled for unpooled": lambda: enumerated("score", *p, *n),
            "Fisher for pooled": lambda: enumerated("fisher", *p, *n),
            "pooled for Fisher": lambda: enumerated("score", *p, *n),
            "arms swapped": lambda: enumerated(test, *p, n[1], n[0]),
            "pooled-z formula": lambda: formula(*p, *n),
            "one arm taken for both": lambda: enumerated(test, *p, n[0] // 2, n[1] // 2),
        }
        rows.append(proportions_row(row, published, test, p, n, {name: versions[name]() for name in named}))

    add("B01", 0.8000056, "score", (0.5, 0.3), (93, 93), "unpooled for pooled")
    add("B03", 0.8, "wald", (0.85, 0.65), (70, 70), "pooled for unpooled")
    add("B05", 0.8, "score", (0.08, 0.06), (2554, 2554), "one arm taken for both")
    add("B07", 0.79956592, "score", (0.2, 0.1), (308, 154), "pooled-z formula", "arms swapped", "unpooled for pooled")
    add("B09 1:1", 0.9, "fisher", (0.45, 0.25), (128, 128), "pooled for Fisher")
    add("B09 1:3", 0.9, "fisher", (0.45, 0.25), (84, 252), "pooled for Fisher")
    add("B11 525", 0.8730263, "score", (0.2, 0.1), (175, 350), "arms swapped", "unpooled for pooled")
    add("B11 489", 0.8528586, "score", (0.2, 0.1), (163, 326), "arms swapped", "unpooled for pooled", "pooled-z formula")
    add("B19", 0.8, "score", (0.4, 0.25), (152, 152), "Fisher for pooled")
    return [*rows, fewer_events_are_better(), logistic_row(), *responders(), *marginal_risks()]


# ---- A: analysis of covariance


def ancova_row(row: str, published: float, effect: float, n: int) -> Check:
    baseline = {"mean": 0.0, "sd": 1.0, "correlation": 0.5}
    scenario = trial(row, means(effect, baseline=baseline), {"test": {"kind": "ancova", "outcome": "value"}}, n)
    value = float(closed_form.ancova_power(effect, correlation=0.5, n_active=n / 2, n_control=n / 2))
    design = f"ANCOVA, d {effect:.3g}, correlation .5 with baseline, {n // 2} + {n // 2}"
    return Check(row, design, scenario, rejection(), value, "random covariate", {"t test for ANCOVA": t_power(effect, 1, n, 0.05)}, published)


RHOS = (0.2, 0.35, 0.5, 0.65, 0.8)


def by_correlation(rho: float) -> dict[str, Check]:
    """Four analyses of one trial, 50 + 50 patients, d 0.5; baseline and end have the same SD, a fifth of the mean. The last has no exact power."""
    wide = {"name": "wide", "minimum": 0, "maximum": 2000}
    endpoint = {
        "kind": "scale",
        "scale": wide,
        "weeks": [8],
        "baseline": {"mean": 500.0, "sd": 100.0},
        "control_course": {"change": 0.0, "at_week": 8, "time_constant": 0.0, "score_sd": 100.0},
        "correlation": {"kind": "compound_symmetry", "rho": rho},
        "effects": {"active": {"kind": "constant", "points": 50.0}},
    }
    analyses = {
        "ancova": {"kind": "ancova", "outcome": "score"},
        "change": {"kind": "t_test", "outcome": "change"},
        "post": {"kind": "t_test", "outcome": "score"},
        "percent": {"kind": "t_test", "outcome": "percent_change"},
    }
    scenario = trial(f"A07 {rho}", endpoint, analyses, 100)
    powers = {
        "ancova": float(closed_form.ancova_power(0.5, correlation=rho, n_active=50, n_control=50)),
        "change": t_power(0.5, float(np.sqrt(2 - 2 * rho)), 100, 0.05),
        "post": t_power(0.5, 1, 100, 0.05),
        "percent": np.nan,
    }
    words = {"ancova": "ANCOVA", "change": "t test of change", "post": "t test of the end score", "percent": "t test of percent change"}
    methods = {"ancova": "random covariate", "change": "noncentral t", "post": "noncentral t", "percent": "none"}
    return {
        name: Check(f"A07 {name} {rho}", f"{words[name]}, correlation {rho}", scenario, rejection(name), powers[name], methods[name]) for name in analyses
    }


A07 = {rho: by_correlation(rho) for rho in RHOS}
A_ROWS = [
    ancova_row("A01", 0.8023214, 2 * 0.2309401 * np.sqrt(1 - 0.25), 150),
    ancova_row("A05", 0.8975631, 0.5, 128),
    *(check for checks in A07.values() for name, check in checks.items() if name != "percent"),
]


# ---- I: interaction, enrichment, retest


def interaction_row() -> Check:
    slope = 2 * np.sqrt(0.02)  # f2 = slope^2 / 4 with a marker of SD 1, a residual SD of 1 and half of the patients in each arm
    effect = {"kind": "log_linear", "zero_at": 1.0, "harm_below": True, "points": float(slope)}
    endpoint = {"kind": "continuous", "effects": {"active": effect}}
    analyses = {"test": {"kind": "interaction", "modifier": "ln(marker)"}}
    scenario = trial("I01", endpoint, analyses, 395, allocation={"kind": "complete"}, **marker_population())
    fixed = float(closed_form.regression_power(0.02, n_patients=395, n_predictors=3))
    words = "treatment by marker interaction, f2 .02, 395 by coin"
    wrong = {"formula for fixed predictors": fixed}
    return Check("I01", words, scenario, rejection(), exact.interaction_power(slope, 395), "integration over random markers", wrong, 0.8006159)


def group_by_time() -> Check:
    endpoint = means(0.5, mean=1.0, baseline={"mean": 1.0, "sd": 1.0, "correlation": 0.6})
    scenario = trial("I03", endpoint, {"test": {"kind": "t_test", "outcome": "change"}}, 104)
    value = float(closed_form.group_by_time_power(0.5, correlation=0.6, n_active=52, n_control=52))
    wrong = {"end score for change": t_power(0.5, 1, 104, 0.05)}
    return Check("I03", "group by time: t test of change, d 0.5, correlation .6, 52 + 52", scenario, rejection(), value, "noncentral t", wrong, 0.80)


def interaction_errors() -> list[Check]:
    """Empirical SE of a main effect and of an interaction with a stratum of half of the patients; the size of the stratum is binomial."""
    population = {"population": {"kind": "gaussian_copula", "covariates": {"marked": {"kind": "bernoulli", "probability": 0.5}}}}
    analyses = {"main": {"kind": "t_test"}, "interaction": {"kind": "interaction", "modifier": "marked >= 0.5"}}
    allocation = {"kind": "stratified_blocks", "strata": ["marked >= 0.5"], "block_size": 2}
    scenario = trial("I05", {"kind": "continuous", "sd": 10.0}, analyses, 1000, allocation=allocation, **population)
    size = np.arange(400, 601)
    chance = binom.pmf(size, 1000, 0.5)
    interaction = float(np.sqrt(np.sum(chance * (400 / size + 400 / (1000 - size))) / np.sum(chance)))
    main = 10 * float(np.sqrt(2 / 500))
    wrong = {"main": {"SE of one mean": 10 / np.sqrt(500)}, "interaction": {"SE of a main effect": main, "coded 0 and 1": interaction / np.sqrt(2)}}
    words = {"main": "SE of a main effect, SD 10, N 1,000", "interaction": "SE of an interaction with half of the patients, SD 10, N 1,000"}
    values = {"main": (main, 0.63), "interaction": (interaction, 1.26)}
    return [
        Check(f"I05 {name}", words[name], scenario, sd_of_estimates(name), value, "closed form", wrong[name], published, value / np.sqrt(2))
        for name, (value, published) in values.items()
    ]


def sd_of_estimates(name: str):
    return lambda found: float(found[name].estimate.std(ddof=1))


def enriched() -> list[Check]:
    """Effect 0.5 where the marker is at or above a cut that 40% of all patients reach."""
    cut = float(np.exp(ndtri(0.6)))
    endpoint = {"kind": "continuous", "effects": {"active": {"kind": "threshold", "cut": cut, "points": 0.5}}}

    def design(name: str, n: int, rules: list[dict[str, object]]):
        return trial(name, endpoint, {"test": {"kind": "t_test"}}, n, eligibility=rules, **marker_population())

    rule = [{"variable": "marker", "at_least": cut}]
    everybody = exact.t_power_with_responders(0.5, 0.4, 100, 100)
    diluted = {"mixture taken for one normal": t_power(0.2, 1, 200, 0.05), "effect not diluted": t_power(0.5, 1, 200, 0.05)}
    selected = {"effect diluted": t_power(0.2, 1, 200, 0.05)}
    fewer = {"effect diluted": t_power(0.2, 1, 80, 0.05), "same number as all comers": t_power(0.5, 1, 200, 0.05)}
    words = "t test, effect 0.5 in 40% by marker: "
    return [
        Check("I07 all", words + "all comers, 100 + 100", design("I07 all", 200, []), rejection(), everybody, "doubly noncentral t", diluted, 0.290),
        Check("I07 200", words + "enriched, 100 + 100", design("I07 200", 200, rule), rejection(), t_power(0.5, 1, 200, 0.05), "noncentral t", selected, 0.9404),
        Check("I07 80", words + "enriched, 40 + 40", design("I07 80", 80, rule), rejection(), t_power(0.5, 1, 80, 0.05), "noncentral t", fewer, 0.5981),
    ]


def misclassified() -> Check:
    """Enrolled by a measured marker of which 70% are truly at or above the cut: the within-person SD that gives this is solved for."""
    cut = float(np.exp(ndtri(0.6)))
    kind = {"mean": 0.0, "between_sd": 1.0, "at_least": cut}
    within = float(brentq(lambda sd: float(closed_form.usual_above_share(cut, within_sd=sd, **kind)) - 0.7, 0.05, 5.0, xtol=1e-13))
    endpoint = {"kind": "continuous", "effects": {"active": {"kind": "threshold", "cut": cut, "points": 0.5}}}
    rule = [{"variable": "marker", "at_least": cut}]
    scenario = trial("I09", endpoint, {"test": {"kind": "t_test"}}, 200, eligibility=rule, **marker_population(within_person_sd=within))
    sd = float(np.sqrt((2 + 0.25 * 0.7 * 0.3) / 100))
    words = "mean estimate, effect 0.5 in the truly positive, 70% of the enrolled"
    return Check("I09", words, scenario, mean_estimate(), 0.35, "mixture", {"everybody truly positive": 0.5, "acts on the measured marker": 0.5}, 0.35, sd)


I_ROWS = [interaction_row(), group_by_time(), *interaction_errors(), *enriched(), misclassified()]
ROWS = [*T_ROWS, *b_rows(), *A_ROWS, *I_ROWS]


def name_of(check: Check) -> str:
    return check.name


@pytest.mark.parametrize("check", ROWS, ids=name_of)
def test_a_row_simulated_agrees_with_its_exact_value_and_no_wrong_version_does(check: Check):
    assert_agrees(check)


def test_every_row_of_the_groups_t_b_a_i_is_simulated_or_listed():
    wanted = {row for row in CASES if re.fullmatch(r"[TBAI]\d+\w*", row)}
    simulated = {check.name.split()[0] for check in ROWS}
    assert simulated | LEFT_OUT.keys() == wanted
    assert not simulated & LEFT_OUT.keys()


def test_ancova_has_the_highest_power_and_change_beats_the_end_score_only_above_a_correlation_of_a_half():
    for rho, checks in A07.items():
        found = {name: check.simulated() for name, check in checks.items()}
        apart = 4 * np.sqrt(0.5 / checks["post"].n_replicates)
        assert found["ancova"] > max(found["change"], found["post"]) - apart
        if rho != 0.5:
            assert (found["change"] - found["post"] > apart) == (rho > 0.5)


def test_percent_change_has_less_power_than_change_at_every_correlation_and_the_lowest_of_all_up_to_a_half():
    for rho, checks in A07.items():
        found = {name: check.simulated() for name, check in checks.items()}
        assert found["percent"] < found["change"]
        if rho <= 0.5:
            assert found["percent"] < min(found["change"], found["post"])


def test_marginal_ratios_of_b17_follow_from_patients_sent_to_each_arm():
    (scenario,) = {id(check.scenario): check.scenario for check in ROWS if check.name == "B17"}.values()
    ratios = {"risk_ratio": "log_risk_ratio", "odds_ratio": "log_odds_ratio"}
    raw = {f"{kind} {arm}": {"kind": kind, "endpoint": "outcome", "arm": arm} for kind in ratios for arm in ("off", "on")}
    analyses = scenario.model_copy(update={"analyses": trial("B17", scenario.endpoints["outcome"].model_dump(), raw, 300, (1, 1, 1), arms=["control", "off", "on"], **marker_population()).analyses})
    found = truths(analyses, prepared(analyses).trial)
    risks = closed_form.marginal_effects(-1, 1, 2)
    for kind, value, conditional in (("risk_ratio", risks.risk_ratio, 0.5 / expit(-1)), ("odds_ratio", risks.odds_ratio, np.e)):
        on, off = found[f"{kind} on"], found[f"{kind} off"]
        std_error = np.hypot(on.std_error, off.std_error)
        assert abs(on.value - off.value - np.log(value)) < 4 * std_error
        assert abs(np.log(conditional / value)) > 8 * std_error


@pytest.mark.parametrize("row", ["T01", "T03", "T04b", "T08", "B01", "B03", "B05", "B07", "B07 bad event", "B11 525", "B09 1:3", "A05"])
def test_the_closed_form_that_a_run_reports_is_the_exact_value_of_the_row(row: str):
    (check,) = [check for check in ROWS if check.name == row]
    stated = closed_form_power(check.scenario, "test")
    assert stated is not None
    assert abs(stated["power"] - check.exact) < 2e-5  # rows of group T and A count both tails, a run those in the direction of benefit


def test_a_wrong_version_that_cannot_be_seen_is_refused():
    with pytest.raises(ValueError, match="replicates are needed"):
        enough_to_see(0.8, wrong=0.801)


def test_replicates_come_in_whole_blocks_and_show_the_wrong_version():
    n = enough_to_see(0.8, wrong=0.79)
    assert n % 256 == 0
    assert 0.01 >= 8 * np.sqrt(0.8 * 0.2 / n)
    assert simulate(ROWS[0].scenario, 256)["test"].estimate.size == 256
