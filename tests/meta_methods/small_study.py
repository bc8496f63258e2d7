"""Small-study effects of the reference cases."""

from math import comb

import numpy as np

from meta_methods.cases import offers, studies
from simtrials.stats.excess_significance import excess_significance_test
from simtrials.stats.fail_safe import fail_safe_n
from simtrials.stats.limit_meta_analysis import limit_meta_analysis
from simtrials.stats.pet_peese import peese, pet, pet_peese, unrestricted_wls, waap_wls
from simtrials.stats.small_study import begg_test, egger_test
from simtrials.stats.trim_and_fill import trim_and_fill


def one_body(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Effects and variances, (study,)."""
    y, v = studies(name)
    return y[0], v[0]


# ---- tests of small-study effects


def regression_test(form: str, predictor: str):
    def numbers(name: str, inputs: str) -> dict[str, float]:
        fit = egger_test(*one_body(name), form=form, predictor=predictor)
        found = {"t": fit.statistic, "z": fit.statistic, "p": fit.p_value, "df": fit.df}
        return found | {"est": fit.estimate, "ci_lb": fit.lower, "ci_ub": fit.upper}

    return numbers


for form, label in (("lm", "lm"), ("mixed", "rma")):
    for predictor, short in (("std_error", "sei"), ("variance", "vi")):
        offers(f"regtest_{label}_{short}", "t", "z", "p", "df", "est", "ci_lb", "ci_ub")(regression_test(form, predictor))


@offers("ranktest_begg", "tau", "p")
def rank_test(name: str, inputs: str) -> dict[str, float]:
    fit = begg_test(*one_body(name))
    return {"tau": fit.correlation, "p": fit.p_value}


@offers("tes", "O", "E", "OEratio", "X2", "pval")
def excess(name: str, inputs: str) -> dict[str, float]:
    """metafor counts all sets of significant studies where these are not more than a million, and takes chi-squared otherwise."""
    y, v = one_body(name)
    fit = excess_significance_test(y, v)
    if sum(comb(len(y), j) for j in range(int(fit.observed), len(y) + 1)) > 1e6:
        fit = excess_significance_test(y, v, test="chi_squared")
    return {"O": fit.observed, "E": fit.expected, "OEratio": fit.ratio, "X2": fit.chi_squared, "pval": fit.p_value}


# ---- corrections


@offers("PETPEESE", "PET_b0", "PET_se", "PET_p", "egger_b1", "egger_p", "PEESE_b0", "PEESE_se", "PEESE_p", "PP", "PP_stanley_1sided10")
def regressions(name: str, inputs: str) -> dict[str, float]:
    y, v = one_body(name)
    first, second = pet(y, v), peese(y, v)
    found = {"PET_b0": first.estimate, "PET_se": first.std_error, "PET_p": first.p_value}
    found |= {"egger_b1": first.slope, "egger_p": first.slope_p_value}
    found |= {"PEESE_b0": second.estimate, "PEESE_se": second.std_error, "PEESE_p": second.p_value}
    chosen = {"PP": "two_sided", "PP_stanley_1sided10": "one_sided"}
    return found | {quantity: pet_peese(y, v, rule=rule).estimate for quantity, rule in chosen.items()}


@offers("UWLS", "b", "se", "p")
def unrestricted(name: str, inputs: str) -> dict[str, float]:
    fit = unrestricted_wls(*one_body(name))
    return {"b": fit.estimate, "se": fit.std_error, "p": fit.p_value}


@offers("WAAP", "b", "k_adequate")
def adequate(name: str, inputs: str) -> dict[str, float]:
    fit = waap_wls(*one_body(name))
    return {"b": fit.estimate, "k_adequate": fit.n_adequate}


@offers("limitmeta_beta0", "alpha_r", "beta_r", "beta0", "se_beta0", "tau2")
def limit(name: str, inputs: str) -> dict[str, float]:
    fit = limit_meta_analysis(*one_body(name))
    return {"alpha_r": fit.intercept, "beta_r": fit.slope, "beta0": fit.estimate, "se_beta0": fit.std_error, "tau2": fit.tau2}


def trimmed(estimator: str):
    def numbers(name: str, inputs: str) -> dict[str, float]:
        side, method = (part.split("=")[-1] for part in inputs.split(";")) if ";" in inputs else ("auto", inputs)
        tau2 = "common" if method == "EE" else method
        fit = trim_and_fill(*one_body(name), estimator=estimator, side=side, tau2=tau2)
        found = {"k0": fit.n_filled, "se_k0": fit.n_filled_std_error, "beta": fit.estimate, "se": fit.std_error}
        return found | {"tau2": fit.tau2, "side_right": float(fit.fills_right)}

    return numbers


for estimator in ("L0", "R0", "Q0"):
    offers(f"trimfill_{estimator}", "k0", "se_k0", "beta", "se", "tau2")(trimmed(estimator))
    offers(f"trimfill_{estimator}_autoside", "k0", "beta", "side_right")(trimmed(estimator))


def fail_safe(kind: str):
    return lambda name, inputs: {"fsnum": fail_safe_n(*one_body(name), kind=kind).n_studies_needed}


for kind in ("rosenthal", "orwin", "rosenberg"):
    offers(f"fsn_{kind.capitalize()}", "fsnum")(fail_safe(kind))
