"""Rows of group T of trial_cases.csv: two-sample t tests."""

from typing import Any

from statistical.helpers import Check, power, rejection, share_above, trial

from simtrials.stats import closed_form

LEFT_OUT = {"T12": "a paired t test: no part gives both treatments to one patient; its formula is tested in tests/reference"}


def means(effect: float, sd: float = 1.0, **more: Any) -> dict[str, Any]:
    """A normal endpoint with a constant effect."""
    return {"kind": "continuous", "sd": sd, "effects": {"active": {"kind": "constant", "points": effect}}, **more}


def t_power(effect: float, sd: float, n: int, alpha: float = 0.05) -> float:
    """Both tails of the pooled t test with `n` patients in two equal arms."""
    return float(closed_form.t_test_power(effect, sd=sd, n_active=n / 2, n_control=n / 2, alpha=alpha))


def t_row(row: str, published: float, effect: float, sd: float, n: int, wrong: dict[str, float], alpha: float = 0.05) -> Check:
    scenario = trial(row, means(effect, sd), {"test": {"kind": "t_test", "alpha": alpha}}, n)
    design = f"t test, difference {effect:g}, SD {sd:g}, {n // 2} + {n // 2}, alpha {alpha:g}"
    return Check(row, design, scenario, rejection(), t_power(effect, sd, n, alpha), "noncentral t", wrong, published)


def sas_row(row: str, published: float, effect: float, sd: float, alpha: float) -> Check:
    other = {"level of the other table": t_power(effect, sd, 200, 0.15 - alpha)}
    return t_row(row, published, effect, sd, 200, other, alpha)


def unequal_sds() -> Check:
    sds = {"sd_active": 15.34, "sd_control": 18.23}
    exact, pooled = (
        float(closed_form.t_test_power_unequal_sd(5.42, **sds, n_active=85, n_control=170, alpha=0.1, tails="benefit", test=test))
        for test in ("welch", "pooled")
    )
    endpoint = means(132.86 - 127.44, 18.23, arm_sd={"active": 15.34})
    scenario = trial("T06", endpoint, {"test": {"kind": "t_test", "variance": "welch", "one_sided_alpha": 0.05}}, 255, (2, 1))
    design = "Welch test, difference 5.42, SD 15.34 in 85 active, 18.23 in 170 controls, one-sided .05"
    return Check("T06", design, scenario, power(), exact, "double integral", {"pooled for Welch": pooled}, 0.8)


def noninferiority() -> Check:
    """Active is shown to be no worse by 0.5 when the lower limit of the 90% interval lies above -0.5."""
    exact, too_strict = (
        float(closed_form.noninferiority_t_power(0, margin=0.5, n_active=50, n_control=50, one_sided_alpha=alpha)) for alpha in (0.05, 0.025)
    )
    scenario = trial("T10", {"kind": "continuous"}, {"test": {"kind": "t_test", "one_sided_alpha": 0.05}}, 100)
    design = "non-inferiority by the lower limit of the t interval, margin 0.5, no difference, 50 + 50, one-sided .05"
    return Check("T10", design, scenario, share_above(-0.5), exact, "noncentral t", {"limit of the 95% interval": too_strict}, 0.7989362)


def smaller_arm_varies_less() -> Check:
    small, control_varies_more = {"n_active": 20, "n_control": 80}, {"sd_active": 1, "sd_control": 2}
    exact, welch = (float(closed_form.t_test_power_unequal_sd(0, **small, **control_varies_more, test=test)) for test in ("pooled", "welch"))
    swapped = float(closed_form.t_test_power_unequal_sd(0, **small, sd_active=2, sd_control=1))
    wrong = {"SDs swapped": swapped, "equal SDs": 0.05, "Welch for pooled": welch}
    scenario = trial("T14", {"kind": "continuous", "sd": 2.0, "arm_sd": {"active": 1.0}}, {"test": {"kind": "t_test"}}, 100, (4, 1))
    design = "pooled t test without effect, SD 1 in 20 active, 2 in 80 controls"
    return Check("T14", design, scenario, rejection(), exact, "double integral", wrong, 0.0045)


ROWS = [
    t_row("T01", 0.8036475, 0.4, 1, 200, {"N taken per arm": t_power(0.4, 1, 400)}),
    t_row("T03", 0.8014596, 0.5, 1, 128, {"z for t": float(closed_form.z_test_power(0.5, n_active=64, n_control=64))}),
    sas_row("T04b", 0.834, 5, 12, 0.05),
    sas_row("T04d", 0.498, 5, 18, 0.05),
    sas_row("T04f", 0.940, 6, 12, 0.05),
    sas_row("T04h", 0.650, 6, 18, 0.05),
    sas_row("T04j", 0.902, 5, 12, 0.10),
    sas_row("T04l", 0.623, 5, 18, 0.10),
    sas_row("T04n", 0.970, 6, 12, 0.10),
    sas_row("T04p", 0.759, 6, 18, 0.10),
    unequal_sds(),
    t_row("T08", 0.8, 10, 24, 184, {"N taken per arm": t_power(10, 24, 368)}),
    noninferiority(),
    smaller_arm_varies_less(),
]
