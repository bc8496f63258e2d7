"""Populations that several tests draw from, and how far simulated moments lie from exact ones."""

import numpy as np

from simtrials.core.rng import BLOCK_SIZE, Purpose, Streams
from simtrials.engine.files import read_table
from simtrials.trial.distributions import Bernoulli, Lognormal, Normal
from simtrials.trial.populations import GaussianCopula, Resampled

SEED = 20260310
PEOPLE = 1024
N = BLOCK_SIZE * PEOPLE
SURVEY = Resampled(data="nhanes_2017_2018", where="phq9_total >= 10 and 18 <= age_years <= 65", weights="survey_weight")


def streams(seed=SEED):
    return Streams(seed, Purpose.RUN, 0)


def ready(population, used=("crp_mg_l",)):
    """The candidates of a population, its data file read."""
    return population.prepare({name: read_table(name) for name in population.files()}, frozenset(used))


def drawn(population, *names):
    """(N,) columns of simulated people."""
    candidates = ready(population, names)
    luck = candidates.draw(streams(), BLOCK_SIZE, PEOPLE)
    columns = [candidates.column(luck, name) for name in names]
    return [column.codes.reshape(-1) if hasattr(column, "codes") else column.reshape(-1) for column in columns]


def share_error(share, n=N):
    return np.sqrt(np.maximum(share * (1 - share), 1 / n) / n)


def moments_apart(values, mean, sd, kurtosis=3.0):
    """How many Monte Carlo standard errors the mean and the SD lie from theirs, under the distribution that is claimed."""
    n = values.size
    return np.array([(values.mean() - mean) / (sd / np.sqrt(n)), (values.std() - sd) / (sd * np.sqrt((kurtosis - 1) / (4 * n)))])


def survey_rows():
    """ln CRP and weights of the people of the survey."""
    table = read_table("nhanes_2017_2018").columns
    keep = (table["phq9_total"] >= 10) & (table["age_years"] >= 18) & (table["age_years"] <= 65) & ~np.isnan(table["crp_mg_l"])
    return np.log(table["crp_mg_l"][keep]), table["survey_weight"][keep]


def weighted(values, weight):
    mean = np.average(values, weights=weight)
    sd = np.sqrt(np.average((values - mean) ** 2, weights=weight))
    return mean, sd, np.average(((values - mean) / sd) ** 4, weights=weight)


MATRIX = [[1.0, 0.47, -0.3, 0.2], [0.47, 1.0, -0.1, 0.3], [-0.3, -0.1, 1.0, 0.15], [0.2, 0.3, 0.15, 1.0]]
COPULA = GaussianCopula(
    covariates={
        "crp": Lognormal(mean_log=0.8, sd_log=1.17),
        "bmi": Normal(mean=29.0, sd=6.0),
        "woman": Bernoulli(probability=0.6),
        "severe": Bernoulli(probability=0.3),
    },
    correlation=MATRIX,
)
