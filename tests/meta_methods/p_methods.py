"""p-uniform* of the reference cases."""

from meta_methods.cases import offers, studies
from simtrials.stats.p_uniform_star import p_uniform_star


@offers("puniform_star_ML", "est", "ci_lb", "ci_ub", "L0", "pval0", "tau2", "tau2_lb", "tau2_ub", "Lhet", "pvalhet", "logLik", "ksig", "k")
def star(name: str, inputs: str) -> dict[str, float]:
    """Inputs such as 'side=left; z critical values'."""
    y, v = studies(name)
    fit = p_uniform_star(y[0], v[0], "less" if "side=left" in inputs else "greater")
    found = {"est": fit.estimate, "ci_lb": fit.lower, "ci_ub": fit.upper, "L0": fit.statistic, "pval0": fit.p_value}
    found |= {"tau2": fit.tau2, "tau2_lb": fit.tau2_lower, "tau2_ub": fit.tau2_upper, "Lhet": fit.tau2_statistic, "pvalhet": fit.tau2_p_value}
    return found | {"logLik": fit.log_likelihood, "ksig": fit.n_significant, "k": fit.n_studies}
