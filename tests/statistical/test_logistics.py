"""Time and money of trials against closed forms: sums of exponentials, an inverse gamma mean, sites that open one after another."""

import numpy as np
import pytest
from statistical.helpers import TOLERANCE, seed_of

from simtrials.core.errors import DeclarationError
from simtrials.core.rng import Purpose, Streams
from simtrials.engine.files import scenario_from
from simtrials.engine.logistics import logistics
from simtrials.engine.run import load, run
from simtrials.trial.logistics import MONTH, Costs, Recruitment

N = 20_000


def months(recruitment, n_screened, name):
    return recruitment.months(np.full(N, float(n_screened)), Streams(seed_of(name), Purpose.RUN, 0))


def near(values, exact):
    error = values.std(ddof=1) / np.sqrt(values.size)
    assert abs(values.mean() - exact) < TOLERANCE * error, f"{values.mean():.4f} against {exact:.4f}, standard error {error:.4f}"


def test_equal_sites_take_the_number_over_their_rate_and_spread_as_a_gamma():
    found = months(Recruitment(sites=4, screened_per_site_month=5, site_cv=0), 100, "equal")
    near(found, 100 / 20)
    near((found - 5.0) ** 2, 100 / 20**2)


def test_sites_that_differ_take_longer_on_average_as_the_inverse_gamma_says():
    """The rate of all sites is gamma with shape S k: the mean of its inverse is k / (mean (S k - 1))."""
    sites, cv, rate = 3, 0.8, 4.0
    k = cv**-2
    found = months(Recruitment(sites=sites, screened_per_site_month=rate, site_cv=cv), 60, "unlike")
    near(found, 60 * k / (rate * (sites * k - 1)))
    assert abs(found.mean() - 60 / (sites * rate)) > 1.0, "equal rates would have been seen"


def test_sites_that_open_one_after_another_are_a_loop_over_arrivals():
    recruitment = Recruitment(sites=5, screened_per_site_month=6, site_cv=0, months_between_openings=1.5)
    found = months(recruitment, 40, "one after another")
    rng, slow = np.random.default_rng(seed_of("loop")), []
    for _ in range(2_000):
        arrivals = np.sort(np.concatenate([1.5 * site + np.cumsum(rng.exponential(1 / 6, 90)) for site in range(5)]))
        slow.append(arrivals[39])
    slow = np.array(slow)
    error = np.hypot(found.std() / np.sqrt(N), slow.std() / np.sqrt(slow.size))
    assert abs(found.mean() - slow.mean()) < TOLERANCE * error
    assert abs(found.mean() - 40 / 30) > 20 * error, "all sites open at once would have been seen"


TRIAL = {
    "name": "two_means",
    "n_replicates": 512,
    "design": {"kind": "fixed", "n_patients": 40, "weeks": 8, "allocation": {"kind": "blocks", "block_size": 4}},
    "endpoints": {"score": {"kind": "continuous", "week": 8.0}},
    "analyses": {"t_test": {"kind": "t_test", "endpoint": "score"}},
}
RECRUITMENT = {"sites": 4, "screened_per_site_month": 5.0, "site_cv": 0.0}
COSTS = {"fixed": 1000.0, "per_site": 10.0, "per_month": 7.0, "per_screen": 3.0, "per_patient": 20.0, "per_visit": 2.0}


def test_cost_is_what_is_used_times_its_price_and_changes_nothing_that_is_simulated(tmp_path):
    priced = scenario_from(TRIAL | {"recruitment": RECRUITMENT, "costs": COSTS})
    found = logistics(priced, np.full(512, 40))
    assert found.months == pytest.approx(found.months_to_enroll + 8 / MONTH)
    assert found.cost == pytest.approx(1000 + 10 * 4 + (20 + 2 * 2) * 40 + 3 * 40 + 7 * found.months)
    plain = run(scenario_from(TRIAL), n_jobs=1, out=tmp_path, null=False)
    made = run(priced, n_jobs=1, out=tmp_path, null=False)
    assert made.folder == plain.folder
    assert made.record["seconds"] < 60
    measures = {measure.name: measure.value for measure in made.logistics()}
    assert measures["cost"] == pytest.approx(found.cost.mean())
    assert measures["months_q05"] < measures["months"] < measures["months_q95"]
    assert "months to the last visit (90% of trials" in " ".join(made.summary().split())
    page = made.report().read_text(encoding="utf-8").partition("<nav")[0]
    assert "A trial takes" in page
    assert "EUR" in page.partition("A trial takes")[2].partition("</p>")[0]
    assert {measure.name: measure.value for measure in load(made.folder).logistics()} == measures


def test_prices_of_sites_and_months_need_recruitment():
    with pytest.raises(DeclarationError, match="declare \\[recruitment\\]"):
        scenario_from(TRIAL | {"costs": COSTS})
    assert logistics(scenario_from(TRIAL | {"costs": {"per_patient": 5.0}}), np.full(256, 40)).cost == pytest.approx(200.0)
    assert Costs().total(np.ones(2), 10, 2, 1, 0, np.zeros(2)).tolist() == [0.0, 0.0]
