"""Bayesian meta-analysis of the reference cases."""

from meta_methods.cases import numbers_in, offers, studies
from simtrials.stats.bayes_meta import TauPrior, bayesian_meta_analysis

TAU_PRIOR_WORDS: dict[str, TauPrior] = {"HalfNormal": "half_normal", "HalfCauchy": "half_cauchy", "Uniform": "uniform"}
QUANTITIES = ("mu_mean", "mu_sd", "mu_median", "mu_q025", "mu_q975", "mu_Pgt0", "tau_mean", "tau_median", "tau_q025", "tau_q975")


@offers("NNHM_posterior", *QUANTITIES, "theta_new_q025", "theta_new_q975", "log_evidence")
def posterior(name: str, inputs: str) -> dict[str, float]:
    """Inputs such as 'flat mu; tau~HalfNormal(0.5)' or 'mu~N(0,1); tau~HalfCauchy(.5)'."""
    of_mu, of_tau = inputs.split("; tau~")
    word = of_tau.split("(")[0]
    mu_prior = None if of_mu == "flat mu" else numbers_in(of_mu)
    y, v = studies(name)
    fit = bayesian_meta_analysis(y[0], v[0], tau_prior=TAU_PRIOR_WORDS[word], scale=numbers_in(of_tau)[-1], mu_prior=mu_prior)
    values = fit.estimate, fit.std_error, fit.median, fit.lower, fit.upper, fit.probability_positive
    values += fit.tau_mean, fit.tau_median, fit.tau_lower, fit.tau_upper
    found = dict(zip(QUANTITIES, values, strict=True))
    return found | {"theta_new_q025": fit.prediction_lower, "theta_new_q975": fit.prediction_upper, "log_evidence": fit.log_evidence}
