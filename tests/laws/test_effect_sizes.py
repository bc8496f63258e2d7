"""Effect sizes against the delta method, and what they must do when arms are swapped, outcomes scaled, cells empty or numbers missing."""

import numpy as np
import pytest
from double import effect_sizes as twin
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import nct

from simtrials.core.status import Status
from simtrials.stats.effect_sizes import MEAN_EFFECTS, VARIANCES, effect_sizes, hedges_correction
from simtrials.stats.effect_sizes_counts import COUNT_EFFECTS

MOMENTS = {
    "mean_active": np.array([12.0, 8.5, 10.1]),
    "sd_active": np.array([3.0, 2.2, 4.0]),
    "n_active": np.array([14, 40, 25]),
    "mean_control": np.array([10.0, 9.0, 10.0]),
    "sd_control": np.array([2.5, 3.1, 4.5]),
    "n_control": np.array([15, 37, 60]),
}
COUNTS = {
    "events_active": np.array([4, 15, 30]),
    "n_active": np.array([20, 60, 55]),
    "events_control": np.array([7, 25, 12]),
    "n_control": np.array([22, 58, 90]),
}
DERIVED = {"rtol": 1e-8}
"""central differences of fourth order with steps of a thousandth"""
every_measure = pytest.mark.parametrize("measure", [*MEAN_EFFECTS, *COUNT_EFFECTS])


def inputs(measure):
    return COUNTS if measure in COUNT_EFFECTS else MOMENTS


def tables():
    return zip(*COUNTS.values(), strict=True)


@pytest.mark.parametrize("measure", twin.OF_RISKS)
def test_measures_of_two_risks_are_those_of_the_delta_method(measure):
    found = effect_sizes(measure, **COUNTS)
    slow = np.array([twin.from_risks(measure, *table) for table in tables()])
    assert_allclose(np.stack([found.yi, found.vi], 1), slow, **DERIVED)


def test_peto_is_observed_less_expected_of_the_hypergeometric():
    found = effect_sizes("PETO", **COUNTS)
    assert_allclose(np.stack([found.yi, found.vi], 1), [twin.peto(*(int(x) for x in table)) for table in tables()], rtol=1e-10)


def test_phi_is_that_of_the_delta_method_over_four_cells():
    found = effect_sizes("PHI", **COUNTS)
    slow = [twin.from_cells(twin.phi, *table) for table in tables()]
    assert_allclose(np.stack([found.yi, found.vi], 1), slow, **DERIVED)


def test_the_tetrachoric_correlation_reproduces_the_table():
    found = effect_sizes("RTET", **COUNTS)
    for place, table in list(enumerate(tables()))[:2]:
        estimate, variance = twin.from_cells(twin.tetrachoric, *table)
        assert_allclose(found.yi[place], estimate, atol=1e-9)
        assert_allclose(found.vi[place], variance, rtol=1e-6)


def test_metafors_tetrachoric_correlation_is_short_of_the_optimum():
    """metafor 3.8-1, first table of the BCG trials: a likelihood below that of the correlation that reproduces the table."""
    found = effect_sizes("RTET", events_active=4, n_active=123, events_control=11, n_control=139)
    cells = np.array([4, 119, 11]) / 262
    assert_allclose(twin.tetrachoric(cells), found.yi, atol=1e-9)
    assert abs(found.yi - -0.263143214372) > 1e-5


@pytest.mark.parametrize("measure", ["MD", "ROM"])
def test_measures_of_means_are_those_of_the_delta_method(measure):
    found = effect_sizes(measure, **MOMENTS)
    for place, (m1, s1, n1, m2, s2, n2) in enumerate(zip(*MOMENTS.values(), strict=True)):
        covariance = np.diag([s1**2 / n1, 0, s2**2 / n2, 0])
        function = twin.of_moments(measure)
        assert_allclose(found.yi[place], function([m1, s1**2, m2, s2**2]))
        assert_allclose(found.vi[place], twin.delta(function, [m1, s1**2, m2, s2**2], covariance), **DERIVED)


@pytest.mark.parametrize("measure", ["VR", "CVR", "SMDH"])
def test_measures_of_variances_are_those_of_the_delta_method(measure):
    found = effect_sizes(measure, **MOMENTS)
    for place, (m1, s1, n1, m2, s2, n2) in enumerate(zip(*MOMENTS.values(), strict=True)):
        function = twin.of_moments(measure)
        fewer = int(measure == "SMDH")  # Bonett (2008) has n - 1 throughout
        of_means = np.diag([s1**2 / (n1 - fewer), 0, s2**2 / (n2 - fewer), 0])
        of_variances = np.diag([0, 2 * s1**4 / (n1 - 1), 0, 2 * s2**4 / (n2 - 1)])
        parts = [twin.delta(function, [m1, s1**2, m2, s2**2], covariance) for covariance in (of_means, of_variances)]
        shift, j = 1 / (2 * (n1 - 1)) - 1 / (2 * (n2 - 1)), 1.0
        if measure == "SMDH":  # metafor has g where d stands in the part of the variances, and then J^2 before both parts
            shift, j = 0.0, twin.correction(n1 + n2 - 2)
        assert_allclose(found.yi[place], j * function([m1, s1**2, m2, s2**2]) + shift, rtol=1e-10)
        assert_allclose(found.vi[place], j**2 * (parts[0] + j**2 * parts[1]), **DERIVED)


def test_hedges_factor_is_1_over_the_mean_of_sigma_over_s():
    for df in (2, 3, 5, 18, 60, 343):
        assert_allclose(hedges_correction(df), twin.correction(df), rtol=1e-9)
    assert_allclose(hedges_correction([18, 60], "approximate"), hedges_correction([18, 60]), rtol=1e-3)
    assert hedges_correction(1) == 0
    assert np.isnan(hedges_correction(0))


@pytest.mark.parametrize(("n1", "n2", "delta"), [(10, 12, 0.4), (6, 5, 1.0)])
def test_the_unbiased_variance_of_g_is_unbiased_and_the_usual_one_is_not(n1, n2, delta):
    """Under the noncentral t distribution of d, by its quantiles."""
    scale = np.sqrt(1 / n1 + 1 / n2)
    law = nct(n1 + n2 - 2, delta / scale)
    t = law.ppf((np.arange(20_000) + 0.5) / 20_000)
    arms = {"sd_active": 1.0, "n_active": n1, "mean_control": 0.0, "sd_control": 1.0, "n_control": n2}
    j = hedges_correction(n1 + n2 - 2)
    exact = j**2 * scale**2 * (law.moment(2)) - delta**2
    mean = {kind: effect_sizes("SMD", mean_active=t * scale, **arms, variance=kind).vi.mean() for kind in ("UB", "LS", "H0")}
    assert_allclose(effect_sizes("SMD", mean_active=t * scale, **arms).yi.mean(), delta, rtol=1e-3)
    assert_allclose(mean["UB"], exact, rtol=2e-3)
    assert abs(mean["LS"] / exact - 1) > 4 * 2e-3
    null = j**2 * scale**2 * nct(n1 + n2 - 2, 0).moment(2)
    assert_allclose(mean["H0"], null, rtol=1e-12)


@pytest.mark.parametrize("measure", [m for m in (*MEAN_EFFECTS, *COUNT_EFFECTS) if not m.startswith("SMD1")])
def test_swapped_arms_have_the_opposite_effect(measure):
    given = inputs(measure)
    swapped = {name: given[name.replace("active", "x").replace("control", "active").replace("x", "control")] for name in given}
    one, other = effect_sizes(measure, **given), effect_sizes(measure, **swapped)
    assert_allclose(other.yi, -one.yi, rtol=1e-12, atol=1e-15)
    assert_allclose(other.vi, one.vi, rtol=1e-12)


@pytest.mark.parametrize("measure", [m for m in COUNT_EFFECTS if m != "RR"])
def test_events_and_non_events_have_opposite_effects(measure):
    other = COUNTS | {f"events_{arm}": COUNTS[f"n_{arm}"] - COUNTS[f"events_{arm}"] for arm in ("active", "control")}
    assert_allclose(effect_sizes(measure, **other).yi, -effect_sizes(measure, **COUNTS).yi, rtol=1e-12)


@pytest.mark.parametrize("measure", MEAN_EFFECTS)
def test_units_matter_to_the_difference_of_means_only(measure):
    factor = {name: 10 if name.startswith(("mean", "sd")) else 1 for name in MOMENTS}
    one, other = (effect_sizes(measure, **{n: values * (factor[n] if scaled else 1) for n, values in MOMENTS.items()}) for scaled in (False, True))
    assert_allclose(other.yi, one.yi * (10 if measure == "MD" else 1), rtol=1e-12)
    assert_allclose(other.vi, one.vi * (100 if measure == "MD" else 1), rtol=1e-12)


@every_measure
def test_studies_are_computed_alone_together_and_with_one_missing(measure):
    given = inputs(measure)
    together = effect_sizes(measure, **given)
    for place in range(3):
        alone = effect_sizes(measure, **{name: values[place] for name, values in given.items()})
        assert np.ndim(alone.yi) == 0
        assert_allclose([alone.yi, alone.vi], [together.yi[place], together.vi[place]], rtol=1e-14)
    first = next(iter(given))
    for name in given if measure != "VR" else ("sd_active", "n_control"):
        hidden = given | {name: np.where(np.arange(3) == 1, np.nan, given[name])}
        found = effect_sizes(measure, **hidden)
        assert_array_equal(found.status, [Status.OK, Status.TOO_FEW_PATIENTS, Status.OK], err_msg=f"{first} {name}")
        assert np.isnan(found.yi[1])
        assert_array_equal(found.yi[[0, 2]], together.yi[[0, 2]])


def test_average_variance_takes_the_mean_effect_of_a_meta_analysis():
    many = {name: np.stack([values, values[::-1]]) for name, values in MOMENTS.items()}
    found = effect_sizes("SMD", **many, variance="AV")
    n = MOMENTS["n_active"] + MOMENTS["n_control"]
    mean = (n * found.yi[0]).sum() / n.sum()
    assert_allclose(found.vi[0], 1 / MOMENTS["n_active"] + 1 / MOMENTS["n_control"] + mean**2 / (2 * n))
    assert_allclose(found.vi[1], found.vi[0][::-1])


def test_the_treatment_arm_correction_is_sweetings():
    found = effect_sizes("OR", events_active=0, n_active=20, events_control=3, n_control=60, to="treatment_arm")
    ratio = 60 / 20
    active, control = 1 / (ratio + 1), ratio / (ratio + 1)
    a, b, c, d = active, 20 + active, 3 + control, 57 + control
    assert_allclose([found.yi, found.vi], [np.log(a * d / (b * c)), 1 / a + 1 / b + 1 / c + 1 / d])


def test_what_cannot_be_estimated_is_named():
    empty = effect_sizes("OR", events_active=[0, 3], n_active=10, events_control=[2, 2], n_control=[10, 10], to="none")
    assert_array_equal(empty.status, [Status.EMPTY_CELL, Status.OK])
    nobody = effect_sizes("RR", events_active=[0, 1], n_active=[10, 10], events_control=[0, 0], n_control=[10, 0], drop00=True)
    assert_array_equal(nobody.status, [Status.TOO_FEW_PATIENTS] * 2)
    constant = effect_sizes("SMD", **(MOMENTS | {"sd_active": 0.0, "sd_control": [0.0, 1.0, 1.0]}))
    assert_array_equal(constant.status, [Status.NO_VARIATION] * 3)
    one = effect_sizes("MD", **(MOMENTS | {"n_active": [1, 2, 3]}))
    assert_array_equal(one.status, [Status.TOO_FEW_PATIENTS, Status.OK, Status.OK])
    signs = effect_sizes("ROM", **(MOMENTS | {"mean_active": [-1.0, 1.0, 0.0]}))
    assert_array_equal(signs.status, [Status.EMPTY_CELL, Status.OK, Status.EMPTY_CELL])


@pytest.mark.parametrize(
    ("measure", "changed", "message"),
    [
        ("SDM", {}, "did you mean 'SMD'"),
        ("SMD", {"variance": "LS3"}, "SMD has no variance called 'LS3'; did you mean 'LS"),
        ("OR", {"to": "only1"}, "did you mean 'only0'"),
        ("OR", {"events_active": [21, 0, 0]}, "events lie between 0 and"),
        ("SMD", {"sd_active": -1.0}, "not negative"),
        ("RD", {"n_control": None}, "RD needs n_control"),
    ],
)
def test_wrong_arguments_are_named(measure, changed, message):
    with pytest.raises(ValueError, match=message):
        effect_sizes(measure, **(inputs(measure) | changed))


def test_every_variance_that_is_allowed_is_computed_and_differs():
    for measure, kinds in VARIANCES.items():
        found = [effect_sizes(measure, **MOMENTS, variance=kind).vi for kind in kinds]
        assert np.isfinite(found).all()
        assert len(np.unique(np.round(found, 12), axis=0)) == len(kinds)
