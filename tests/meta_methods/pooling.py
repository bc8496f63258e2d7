"""Pooling, heterogeneity, prediction and meta-regression of the reference cases."""

import numpy as np
from scipy.special import ndtri

from meta_methods.cases import LEFT_OUT_ROWS, data, offers, studies
from simtrials.stats.intervals_likelihood import profile_likelihood_limits
from simtrials.stats.meta_analysis import meta_analysis, meta_regression
from simtrials.stats.studies import Studies
from simtrials.stats.tau2 import between_study_variance
from simtrials.stats.tau2_intervals import profile_likelihood_interval

METHODS_OF_TAU2 = ("DL", "HE", "HS", "HSk", "SJ", "ML", "REML", "EB", "PM", "PMM")
RULES = {"z": "wald", "t": "t", "knha": "hartung_knapp", "adhoc": "hartung_knapp_adhoc"}


def choice(method: str) -> str:
    return "common" if method == "EE" else method


def one(name: str, **arguments) -> dict[str, float]:
    """Every field of the meta-analysis of a data set."""
    y, v = studies(name)
    return meta_analysis(y[0], v[0], **arguments)._asdict()


# ---- one mean


def pooled(method: str):
    def numbers(name: str, inputs: str) -> dict[str, float]:
        rule = RULES[inputs.removeprefix("test=").split(";")[0]]
        own = {"weights": studies(name)[1][0] ** -0.5} if method == "GENQ" else {}
        found = one(name, tau2=choice(method), ci=rule, **own)
        with np.errstate(divide="ignore"):
            statistic = np.divide(found["estimate"], found["std_error"])
        shown = {"beta": found["estimate"], "se": found["std_error"], "zval": statistic, "tval": statistic, "pval": found["p_value"]}
        shown |= {"ci_lb": found["lower"], "ci_ub": found["upper"], "ddf": found["df"], "tau2": found["tau2"], "se_tau2": found["tau2_std_error"]}
        if rule != "wald":
            plain = one(name, tau2=choice(method))
            shown["s2w"] = (found["std_error"] / plain["std_error"]) ** 2
        return shown | {"QE": found["q"], "QEp": found["q_p_value"], "I2": 100 * found["i2"], "H2": found["h2"]}

    return numbers


QUANTITIES = ["beta", "se", "zval", "tval", "pval", "ci_lb", "ci_ub", "ddf", "tau2", "se_tau2", "s2w", "QE", "QEp", "I2", "H2"]
for tau2 in ("EE", *METHODS_OF_TAU2, "GENQ"):
    offers(f"rma_{tau2}", *QUANTITIES)(pooled(tau2))
offers("rma_REML_default", "beta", "tau2")(pooled("REML"))


def predicted(method: str):
    def numbers(name: str, inputs: str) -> dict[str, float]:
        if inputs.startswith("knha"):
            found = one(name, tau2=method, ci="hartung_knapp")
        else:
            rule = "t_k_minus_1" if "k-1" in inputs else "t_k_minus_2" if "k-2" in inputs else "normal"
            found = one(name, tau2=method, prediction=rule)
        return {"pi_lb": found["prediction_lower"], "pi_ub": found["prediction_upper"]}

    return numbers


for tau2 in METHODS_OF_TAU2:
    offers(f"predint_{tau2}", "pi_lb", "pi_ub")(predicted(tau2))


@offers("confint_Qprofile", "tau2_lb", "tau2_ub", "I2_lb", "I2_ub")
def q_profile(name: str, inputs: str) -> dict[str, float]:
    found = one(name, tau2="DL")
    limits = {"tau2_lb": found["tau2_lower"], "tau2_ub": found["tau2_upper"]}
    return limits | {"I2_lb": 100 * found["i2_lower"], "I2_ub": 100 * found["i2_upper"]}


def tau2_by_likelihood(method: str):
    def numbers(name: str, inputs: str) -> dict[str, float]:
        found = one(name, tau2=method, tau2_ci="profile_likelihood")
        prepared = Studies.of(*studies(name))
        profile = profile_likelihood_interval(prepared, between_study_variance(*studies(name), method).estimate, method == "REML")
        return {"tau2_lb": found["tau2_lower"], "tau2_ub": found["tau2_upper"], "logLik": profile.log_likelihood[0]}

    return numbers


for tau2 in ("ML", "REML"):
    offers(f"proflik_tau2_{tau2}", "tau2_lb", "tau2_ub", "logLik")(tau2_by_likelihood(tau2))


@offers("proflik_mu_ML", "mu", "ci_lb", "ci_ub", "lrt_mu0")
def mean_by_likelihood(name: str, inputs: str) -> dict[str, float]:
    found = one(name, tau2="ML", ci="profile_likelihood")
    p_value = profile_likelihood_limits(Studies.of(*studies(name)), 0.95).p_value[0]
    return {"mu": found["estimate"], "ci_lb": found["lower"], "ci_ub": found["upper"], "lrt_mu0": ndtri(p_value / 2) ** 2}


@offers("henmi_copas", "beta", "se", "ci_lb", "ci_ub")
def henmi_copas(name: str, inputs: str) -> dict[str, float]:
    found = one(name, tau2="DL", ci="henmi_copas")
    return {"beta": found["estimate"], "se": found["std_error"], "ci_lb": found["lower"], "ci_ub": found["upper"]}


for row in ("EM18469", "EM18470"):
    LEFT_OUT_ROWS[row] = (
        "metafor's hc() stops its search for the quantile at 1.2e-4 by default; with tol = 1e-12 it agrees (reference/test_pooling.py)"
    )


@offers("kenward_roger_REML", "beta", "se_KR", "df_KR", "ci_lb", "ci_ub")
def kenward_roger(name: str, inputs: str) -> dict[str, float]:
    found = one(name, ci="kenward_roger")
    return {"beta": found["estimate"], "se_KR": found["std_error"], "df_KR": found["df"], "ci_lb": found["lower"], "ci_ub": found["upper"]}


# ---- regression on moderators


def design(name: str, formula: str) -> np.ndarray:
    """(study, coefficient) columns of an R formula: variables, factors by their first level, and I(variable-number)."""
    table, columns = data(name), []
    for term in formula.removeprefix("~").split(" ")[0].split("+"):
        variable, _, shift = term.removeprefix("I(").removeprefix("factor(").rstrip(")").partition("-")
        if term.startswith("factor"):
            columns += [(table[variable] == level).to_numpy(float) for level in sorted(table[variable].unique())[1:]]
        else:
            columns.append(table[variable].to_numpy(float) - float(shift or 0))
    return np.column_stack([np.ones(len(table)), *columns])


def regressed(method: str):
    def numbers(name: str, inputs: str) -> dict[str, float]:
        formula, test = inputs.split("; test=")
        y, v = studies(name)
        found = meta_regression(y[0], v[0], design(name, formula), tau2=choice(method), ci=RULES[test])
        shown = {"tau2": found.tau2, "QE": found.qe, "QM": found.qm, "QMp": found.qm_p_value, "R2": 100 * found.r2, "I2": 100 * found.i2}
        for place, numbers in enumerate(zip(found.estimate, found.std_error, found.p_value, strict=True)):
            shown |= dict(zip((f"b{place}", f"se{place}", f"p{place}"), numbers, strict=True))
        return shown

    return numbers


REGRESSION = ["tau2", "QE", "QM", "QMp", "R2", "I2", *(f"{kind}{place}" for kind in ("b", "se", "p") for place in range(5))]
for tau2 in ("EE", *METHODS_OF_TAU2):
    offers(f"metareg_{tau2}", *REGRESSION)(regressed(tau2))
