"""Fit a population to a user's own patients, and show how well it fits."""

from simtrials.engine.population_fit.fit import fit_population
from simtrials.engine.population_fit.outcome import PopulationFit

__all__ = ["PopulationFit", "fit_population"]
