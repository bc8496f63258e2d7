"""Which question is asked (ICH E9(R1)): what an intercurrent event means for the outcome."""

from simtrials.inference.estimands.estimand import STRATEGIES, TREATMENT_POLICY, Estimand, Strategy
from simtrials.inference.estimands.outcomes import as_analysed, as_it_was

__all__ = ["STRATEGIES", "TREATMENT_POLICY", "Estimand", "Strategy", "as_analysed", "as_it_was"]
