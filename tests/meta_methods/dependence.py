"""Dependent effects of the reference cases: three levels, two outcomes, cluster-robust standard errors."""

import numpy as np

from meta_methods.cases import data, offers, studies
from simtrials.stats.bivariate import bivariate_meta_analysis
from simtrials.stats.cluster_robust import ClusterRobust, cluster_robust
from simtrials.stats.three_level import three_level


@offers("rma_mv", "beta", "se", "s2_district", "s2_school", "logLik")
def levels(name: str, inputs: str) -> dict[str, float]:
    rows = data(name)
    fit = three_level(rows["yi"], rows["vi"], rows["district"], method="REML" if "REML" in inputs else "ML")
    return {
        "beta": fit.estimate, "se": fit.std_error, "s2_district": fit.sigma2_cluster, "s2_school": fit.sigma2_within, "logLik": fit.log_likelihood,
    }  # fmt: skip


@offers("rma_mv_bivariate_UN", "b_AL", "b_PD", "se_AL", "se_PD", "tau2_AL", "tau2_PD", "rho", "logLik")
def two_outcomes(name: str, inputs: str) -> dict[str, float]:
    rows = data(f"raw_{name}").sort_values(["trial", "outcome"])
    y = rows["yi"].to_numpy().reshape(-1, 2)
    v = rows[["v2i", "v1i"]].to_numpy().reshape(-1, 2, 2)  # a row holds the covariances with PD, then AL
    fit = bivariate_meta_analysis(y, v, method="REML" if "REML" in inputs else "ML")
    found = {"rho": fit.correlation, "logLik": fit.log_likelihood}
    for i, outcome in enumerate(("AL", "PD")):
        found |= {f"b_{outcome}": fit.estimate[i], f"se_{outcome}": fit.std_error[i], f"tau2_{outcome}": fit.tau2[i]}
    return found


def robust(name: str, inputs: str, **options) -> ClusterRobust:
    rows = data(name)
    if "district" in inputs:
        return cluster_robust(rows["yi"], rows["vi"], rows["district"], working="three_level", **options)
    design = np.column_stack([np.ones(len(rows)), data("raw_bcg")["ablat"]]) if "ablat" in inputs else None
    y, v = studies(name)
    return cluster_robust(y[0], v[0], np.arange(len(rows)), design=design, **options)


def by_name(fit: ClusterRobust) -> dict[str, float]:
    numbers = {"b": fit.estimate, "se": fit.std_error, "t": fit.estimate / fit.std_error, "df": fit.df, "p": fit.p_value, "tau2": fit.tau2}
    flat = {key: float(value) for key, value in numbers.items() if np.ndim(value) == 0}
    return flat | {f"{key}{i}": number for key, value in numbers.items() if np.ndim(value) for i, number in enumerate(value)}


for correction in ("CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3"):

    @offers(f"clubSandwich_{correction}", *(f"{key}{i}" for key in ("b", "se", "t", "df", "p") for i in ("", 0, 1)))
    def sandwich(name: str, inputs: str, correction=correction) -> dict[str, float]:
        return by_name(robust(name, inputs, correction=correction))


@offers("robust_metafor", "se", "t", "df", "p")
def robust_in_metafor(name: str, inputs: str) -> dict[str, float]:
    return by_name(robust(name, inputs, correction="CR1p", df="clusters"))


@offers("robumeta_CORR", "b", "se", "df", "tau2")
def correlated_effects(name: str, inputs: str) -> dict[str, float]:
    return by_name(robust(name, inputs, working="correlated_effects"))
