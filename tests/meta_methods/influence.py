"""What single studies do, and permutation tests, of the reference cases."""

from meta_methods.cases import data, numbers_in, offers, studies
from simtrials.stats.influence import cumulative_meta_analysis, influence, leave_one_out
from simtrials.stats.permutation import permutation_test

MEASURES = {
    "rstudent": "studentized_residual",
    "dffits": "dffits",
    "cook": "cook_distance",
    "covr": "covariance_ratio",
    "tau2del": "tau2_deleted",
    "QEdel": "q_deleted",
    "hat": "hat",
    "blup": "predicted_effect",
    "blup_se": "predicted_effect_std_error",
    "baujat_x": "squared_pearson_residual",
    "baujat_y": "mean_shift",
}


@offers("influence", *MEASURES, "weight", "loo_beta", "loo_tau2", "cum_beta", "cum_tau2")
def single_study(name: str, inputs: str) -> dict[str, float]:
    """Cumulative results are sorted by year; metafor says that the variance between studies is 0 where there is one study."""
    y, v = (array[0] for array in studies(name))
    place = int(numbers_in(inputs)[0]) - 1
    fit, rest = influence(y, v), leave_one_out(y, v)
    added = cumulative_meta_analysis(y, v, data(name).get("year"))
    found = {short: getattr(fit, field)[place] for short, field in MEASURES.items()} | {"weight": 100 * fit.hat[place]}
    found |= {"loo_beta": rest.estimate[place], "loo_tau2": rest.tau2[place]}
    return found | {"cum_beta": added.estimate[place], "cum_tau2": 0.0 if place == 0 else added.tau2[place]}


@offers("permutest", "pval")
def permuted(name: str, inputs: str) -> dict[str, float]:
    """exact sign-flip (2^k), METHOD z"""
    y, v = (array[0] for array in studies(name))
    method = inputs.split(", ")[1].split()[0]
    return {"pval": permutation_test(y, v, tau2=method, max_exact=2 ** len(y)).p_value}
