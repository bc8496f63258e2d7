"""Which question is asked (ICH E9(R1)): population, treatments, variable, what an intercurrent event means for it, summary measure."""

from simtrials.inference.estimands.estimand import SCALE_OF, STRATEGIES, TREATMENT_POLICY, Estimand, Strategy, Summary
from simtrials.inference.estimands.outcomes import as_analysed, as_it_was
from simtrials.inference.estimands.target import Target

__all__ = ["SCALE_OF", "STRATEGIES", "TREATMENT_POLICY", "Estimand", "Strategy", "Summary", "Target", "as_analysed", "as_it_was"]
