"""Meta-analyses of events in two arms, from the counts themselves."""

import numpy as np

from meta_methods.cases import LEFT_OUT_ROWS, data, offers
from simtrials.stats.beta_binomial import beta_binomial
from simtrials.stats.meta_analysis_counts import CountMetaAnalysis, count_association_tests, meta_analysis_counts


def counts(name: str) -> tuple[np.ndarray, ...]:
    """Events and patients of active, of control, (1, study)."""
    table = data(f"counts_{name}")
    return tuple(table[[column]].to_numpy(dtype=float).T for column in ("ai", "n1i", "ci", "n2i"))


def usual(fit: CountMetaAnalysis) -> dict[str, float]:
    found = {"beta": fit.estimate, "se": fit.std_error, "ci_lb": fit.lower, "ci_ub": fit.upper, "zval": fit.estimate / fit.std_error}
    found |= {"pval": fit.p_value, "QE": fit.q, "QEp": fit.q_p_value, "I2": 100 * fit.i2, "tau2": fit.tau2}
    return {quantity: number[0] for quantity, number in found.items()}


USUAL = ["beta", "se", "ci_lb", "ci_ub", "zval", "pval", "QE", "QEp", "I2"]
TESTS = {"CMH": "mantel_haenszel", "CO": "cochran", "BD": "breslow_day", "Tarone": "tarone"}


def pooled(measure: str):
    def numbers(name: str, inputs: str) -> dict[str, float]:
        found = usual(meta_analysis_counts(*counts(name), measure=measure))
        tests = count_association_tests(*counts(name), continuity_correction="correct=FALSE" not in inputs)._asdict()
        for short, field in TESTS.items():
            found |= {short: tests[field][0], f"{short}p": tests[f"{field}_p_value"][0]}
        return found

    return numbers


offers("rma_mh_OR", *USUAL, *TESTS, *(f"{test}p" for test in TESTS))(pooled("OR"))
offers("rma_mh_RR", *USUAL)(pooled("RR"))
offers("rma_mh_RD", *USUAL)(pooled("RD"))


@offers("rma_peto", *USUAL)
def peto(name: str, inputs: str) -> dict[str, float]:
    return usual(meta_analysis_counts(*counts(name), method="peto"))


@offers("betabinomial_logit", "logOR", "se", "rho", "logLik")
def beta_binomial_logit(name: str, inputs: str) -> dict[str, float]:
    a, n1, c, n0 = counts(name)
    fit = beta_binomial(np.stack([a, n1 - a, c, n0 - c]))
    return {"logOR": fit.estimate[0], "se": fit.std_error[0], "rho": fit.rho[0], "logLik": fit.log_likelihood[0]}


def mixed(method: str):
    def numbers(name: str, inputs: str) -> dict[str, float]:
        fit = meta_analysis_counts(*counts(name), method=method)
        return usual(fit) | {"LRT": fit.q[0], "LRTp": fit.q_p_value[0], "Wld": fit.q_wald[0]}

    return numbers


for model, method in {"UM.FS": "glmm_unconditional", "UM.RS": "glmm_random_study", "CM.AL": "glmm_conditional"}.items():
    offers(f"rma_glmm_{model}", *USUAL, "tau2", "LRT", "LRTp", "Wld")(mixed(method))

NOT_AT_MAXIMUM = "lme4 stops before the maximum at its default tolerance; with tolPwrss of 1e-8 to 1e-11 it agrees, see test_count_glmm.py"
NOISY_HESSIAN = "Wald's Q from a finite-difference Hessian of lme4 that is noise at its default tolerance, or not positive definite"
LEFT_OUT_ROWS |= dict.fromkeys(("EM16802", "EM16889", "EM16894", "EM16895", "EM16896"), NOT_AT_MAXIMUM)
LEFT_OUT_ROWS |= dict.fromkeys(("EM16805", "EM16898"), NOISY_HESSIAN)
