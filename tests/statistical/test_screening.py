"""Screening: how many are screened for those enrolled, who fails which rule, and regression to the mean of a screening score."""

from typing import Any

import numpy as np
import pytest
from scipy.optimize import fsolve
from scipy.stats import truncnorm
from statistical.helpers import marker_population, prepared, simulate, trial

N_PATIENTS, N_REPLICATES = 50, 80 * 256

# ---- the funnel: three rules, applied in order

RULES = [
    {"variable": "marker", "at_least": 1.0},
    {"kind": "other_reasons", "failure_probability": 0.4},
    {"variable": "marker", "at_most": float(np.e)},
]
BELOW, ABOVE = 0.5, float(1 - 0.8413447460685429)  # ln marker is standard normal; the limits are at 0 and 1
PASS = (1 - BELOW - ABOVE) * 0.6
FIRST_FAILED = {"marker below 1": BELOW, "other reasons": (1 - BELOW) * 0.4, "marker above 2.71828": ABOVE * 0.6}
FUNNEL = trial("funnel", {"kind": "continuous"}, {"test": {"kind": "t_test"}}, N_PATIENTS, eligibility=RULES, **marker_population())


def agrees_with_negative_binomial(counts: np.ndarray, odds: float) -> bool:
    """Whether numbers of failures before the last success have the mean and variance of theory; `odds` is failures per success."""
    mean, variance = N_PATIENTS * odds, N_PATIENTS * odds * (1 + odds)
    kurtosis = 3 + 6 / N_PATIENTS + 1 / variance
    spread = variance * np.sqrt((kurtosis - 1) / counts.size)
    close = abs(counts.mean() - mean) < 4 * np.sqrt(variance / counts.size)
    return bool(close and abs(counts.var(ddof=1) - variance) < 4 * spread)


def test_the_number_screened_is_negative_binomial():
    screened = simulate(FUNNEL, N_REPLICATES).screening["screened"].astype(float)
    assert agrees_with_negative_binomial(screened - N_PATIENTS, (1 - PASS) / PASS)
    assert not agrees_with_negative_binomial(screened, (1 - PASS) / PASS)  # the enrolled are screened too
    assert not agrees_with_negative_binomial(screened - N_PATIENTS, 1 / PASS - 1 + 0.1)


def test_a_candidate_fails_by_the_first_rule_that_is_not_met():
    found = simulate(FUNNEL, N_REPLICATES).screening
    assert [name.removeprefix("not enrolled: ") for name in found if name != "screened"] == list(FIRST_FAILED)
    for rule, share in FIRST_FAILED.items():
        assert agrees_with_negative_binomial(found[f"not enrolled: {rule}"].astype(float), share / PASS)
    any_order = {"other reasons": 0.4, "marker above 2.71828": ABOVE}  # each rule asked alone
    for rule, share in any_order.items():
        assert not agrees_with_negative_binomial(found[f"not enrolled: {rule}"].astype(float), share / PASS)


def test_everybody_screened_is_enrolled_or_fails_one_rule():
    found = simulate(FUNNEL, N_REPLICATES).screening
    assert np.array_equal(sum(found[f"not enrolled: {rule}"] for rule in FIRST_FAILED) + N_PATIENTS, found["screened"])


# ---- a threshold on the screening score, on a scale so wide that rounding does not matter

MEAN, SD, CORRELATION, THRESHOLD = 5000.0, 500.0, 0.7, 5200
END_SD, WITH_BASELINE = 700.0, 0.4


def with_threshold(describes: str):
    endpoint: dict[str, Any] = {
        "kind": "scale",
        "scale": {"name": "wide", "minimum": 0, "maximum": 10_000},
        "weeks": [8],
        "baseline": {"mean": MEAN, "sd": SD, "describes": describes},
        "control_course": {"change": -1000.0, "at_week": 8, "time_constant": 0.0, "score_sd": END_SD},
        "correlation": {"kind": "compound_symmetry", "rho": WITH_BASELINE},
        "screening": {"correlation": CORRELATION},
    }
    rule = [{"variable": "outcome.screening", "at_least": THRESHOLD}]
    return trial(f"threshold {describes}", endpoint, {"test": {"kind": "t_test"}}, 200, eligibility=rule)


def of_enrolled(mean: float, sd: float) -> dict[str, float]:
    """Moments of both readings among the enrolled, from those among the screened: both are normal, and that at screening is truncated."""
    cut = (THRESHOLD - 0.5 - mean) / sd
    shift, variance = truncnorm.stats(cut, np.inf, moments="mv")
    baseline_variance = sd**2 * (1 - CORRELATION**2 + CORRELATION**2 * variance)
    return {
        "screening mean": mean + sd * shift,
        "screening SD": sd * np.sqrt(variance),
        "baseline mean": mean + CORRELATION * sd * shift,
        "baseline SD": np.sqrt(baseline_variance),
        "regression to the mean": (1 - CORRELATION) * sd * shift,
    }


def solved() -> dict[str, float]:
    """The same when mean and SD of the baseline are declared for the enrolled: those of the screened are solved for."""

    def miss(x: np.ndarray) -> list[float]:
        found = of_enrolled(x[0], x[1])
        return [found["baseline mean"] - MEAN, found["baseline SD"] - SD]

    return of_enrolled(*fsolve(miss, [MEAN - 300, SD], xtol=1e-12))


EXACT = {"enrolled": solved(), "screened": of_enrolled(MEAN, SD)}


@pytest.fixture(scope="module", params=["enrolled", "screened"])
def readings(request: pytest.FixtureRequest) -> tuple[str, dict[str, np.ndarray]]:
    """Readings of about 400,000 enrolled patients."""
    simulation = prepared(with_threshold(request.param))
    parts = [simulation.trials(block).data.endpoints["outcome"] for block in range(8)]
    fields = {"screening": [p.screening for p in parts], "baseline": [p.baseline for p in parts], "end": [p.at(8) for p in parts]}
    return request.param, {name: np.concatenate([part.ravel() for part in values]) for name, values in fields.items()}


def agrees(values: np.ndarray, mean: float, sd: float) -> tuple[bool, bool]:
    """Whether mean and SD are within 4 of their standard errors."""
    n = values.size
    kurtosis = np.mean(((values - values.mean()) / values.std()) ** 4)
    return abs(values.mean() - mean) < 4 * sd / np.sqrt(n), abs(values.std(ddof=1) - sd) < 4 * sd * np.sqrt((kurtosis - 1) / (4 * n))


def test_the_enrolled_have_the_declared_or_the_truncated_mean_and_sd(readings: tuple[str, dict[str, np.ndarray]]):
    describes, found = readings
    exact, other = EXACT[describes], EXACT["screened" if describes == "enrolled" else "enrolled"]
    if describes == "enrolled":
        assert abs(exact["baseline mean"] - MEAN) < 1e-6
    for reading in ("screening", "baseline"):
        assert agrees(found[reading], exact[f"{reading} mean"], exact[f"{reading} SD"]) == (True, True)
        assert abs(other[f"{reading} mean"] - exact[f"{reading} mean"]) > 8 * SD / np.sqrt(found[reading].size)
    assert found["screening"].min() >= THRESHOLD


def test_regression_to_the_mean_between_screening_and_baseline_is_that_of_the_truncated_normal(readings: tuple[str, dict[str, np.ndarray]]):
    describes, found = readings
    fall = found["screening"] - found["baseline"]
    exact, std_error = EXACT[describes]["regression to the mean"], fall.std() / np.sqrt(fall.size)
    assert abs(fall.mean() - exact) < 4 * std_error
    assert exact > 8 * std_error  # without noise of its own at screening there would be none
    as_if_all_of_it = exact / (1 - CORRELATION)
    assert abs(as_if_all_of_it - exact) > 8 * std_error


def test_the_end_score_has_the_declared_mean_and_sd_among_those_whom_the_declaration_describes(readings: tuple[str, dict[str, np.ndarray]]):
    describes, found = readings
    if describes == "enrolled":
        assert agrees(found["end"], MEAN - 1000, END_SD) == (True, True)
        correlation = np.corrcoef(found["baseline"], found["end"])[0, 1]
        assert abs(correlation - WITH_BASELINE) < 4 / np.sqrt(found["end"].size)
    else:  # among the enrolled it follows the baseline, as among all who are screened
        slope = WITH_BASELINE * END_SD / SD
        exact = EXACT["screened"]
        variance = END_SD**2 + slope**2 * (exact["baseline SD"] ** 2 - SD**2)
        assert agrees(found["end"], MEAN - 1000 + slope * (exact["baseline mean"] - MEAN), float(np.sqrt(variance))) == (True, True)
