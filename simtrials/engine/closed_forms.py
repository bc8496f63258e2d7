"""Power from a closed form or from exact enumeration, where a scenario is simple enough to have one."""

from simtrials.engine.scenario import Scenario
from simtrials.inference.analyses import Analysis, Ancova, FisherExact, RiskDifference, TTest
from simtrials.trial.allocations import Blocks
from simtrials.trial.endpoints import Binary, Continuous


def closed_form_power(scenario: Scenario, name: str) -> dict[str, float | str] | None:
    """Power in the direction of benefit of an analysis and what it comes from, or None where nothing exact is known.

    Known are the pooled t test and baseline-adjusted ANCOVA of a normal endpoint, and the tests of a yes-or-no endpoint that depend on the
    table only, with a constant effect and numbers per arm that do not vary.
    """
    analysis = scenario.analyses[name]
    sizes = _arm_sizes(scenario, analysis)
    if sizes is None or analysis.where is not None or scenario.eligibility or scenario.correlations or scenario.departures:
        return None
    endpoint = scenario.endpoints[analysis.endpoint]
    effect = endpoint.effects.get(analysis.arm or scenario.design.arms[1])
    if effect is None or effect.kind != "constant":
        return None
    if isinstance(endpoint, Continuous):
        shift = endpoint.size(effect, 1.0) * effect.onset(endpoint.week, endpoint.week)
        return _of_means(analysis, endpoint, shift, *sizes)
    return (
        _of_proportions(analysis, endpoint, endpoint.size(effect, 1.0) * effect.onset(endpoint.week, endpoint.week), *sizes)
        if isinstance(endpoint, Binary)
        else None
    )


def _arm_sizes(scenario: Scenario, analysis: Analysis) -> tuple[int, int] | None:
    """Patients in the active and in the control arm, when the blocks make them fixed."""
    design = scenario.design
    if not isinstance(design.allocation, Blocks) or design.n_patients % design.allocation.block_size:
        return None
    share = design.n_patients // sum(design.ratio)
    return design.ratio[design.arms.index(analysis.arm) if analysis.arm else 1] * share, design.ratio[0] * share


def _of_means(analysis: Analysis, endpoint: Continuous, shift: float, n_active: int, n_control: int) -> dict[str, float | str] | None:
    from simtrials.stats import closed_form

    if endpoint.arm_sd:
        return None
    if isinstance(analysis, TTest) and analysis.variance == "pooled" and (endpoint.baseline is None or analysis.outcome == "value"):
        power = closed_form.t_test_power(
            shift, sd=endpoint.sd, n_active=n_active, n_control=n_control, alpha=analysis.two_sided_alpha, tails="benefit"
        )
        return {"power": float(power), "what": "noncentral t"}
    if isinstance(analysis, Ancova) and analysis.covariates == ("baseline",) and endpoint.baseline is not None:
        power = closed_form.ancova_power(
            shift,
            sd=endpoint.sd,
            correlation=endpoint.baseline.correlation,
            n_active=n_active,
            n_control=n_control,
            alpha=analysis.two_sided_alpha,
            tails="benefit",
        )
        return {"power": float(power), "what": "ANCOVA with a random covariate"}
    return None


def _of_proportions(analysis: Analysis, endpoint: Binary, gain: float, n_active: int, n_control: int) -> dict[str, float | str] | None:
    from scipy.special import expit, logit

    from simtrials.stats import closed_form

    sign = 1 if endpoint.event_is == "good" else -1
    p_active = float(expit(logit(endpoint.control_risk) + sign * gain))
    alpha = analysis.two_sided_alpha
    p_good = (p_active, endpoint.control_risk) if sign > 0 else (1 - p_active, 1 - endpoint.control_risk)
    if isinstance(analysis, RiskDifference) and analysis.test == "score":
        rejected = closed_form.pooled_z_rejection(n_active, n_control, alpha=alpha, tails="benefit")
    elif isinstance(analysis, RiskDifference) and analysis.test == "wald":
        rejected = closed_form.unpooled_z_rejection(n_active, n_control, alpha=alpha, tails="benefit")
    elif isinstance(analysis, FisherExact):
        one_sided = analysis.one_sided_alpha is not None
        level = alpha / 2 if one_sided else alpha
        rejected = closed_form.fisher_rejection(n_active, n_control, alpha=level, mid_p=analysis.mid_p, tails="benefit", one_sided=one_sided)
    else:
        return None
    return {"power": float(closed_form.enumerated_power(rejected, *p_good)), "what": "exact enumeration"}
