"""What every visit correlation offers."""

from simtrials.core.arrays import FloatArray
from simtrials.core.check import Component
from simtrials.core.registry import Registry


class VisitCorrelation(Component):
    """Declares the correlation of scores at the visits, week 0 (baseline) first."""

    kind: str

    def matrix(self, weeks: tuple[float, ...]) -> FloatArray:
        """(M, M) correlations of the scores at `weeks`.

        Raises
        ------
        ValueError
            When the declaration does not fit the number of visits.
        """
        raise TypeError(f"a correlation of kind {self.kind!r} must define matrix")

    def between(self, visits: tuple[float, ...], weeks: tuple[float, ...], other_weeks: tuple[float, ...]) -> FloatArray:
        """Correlations of the scores at `weeks` with those at `other_weeks`, for a correlation declared over `visits`.

        Raises
        ------
        ValueError
            When a week is not among the visits and the kind says nothing about it.
        """
        unknown = sorted((set(weeks) | set(other_weeks)) - set(visits))
        if unknown:
            raise ValueError(f"says nothing about week {unknown[0]:g}")
        matrix = self.matrix(visits)
        rows, columns = [visits.index(week) for week in weeks], [visits.index(week) for week in other_weeks]
        return matrix[rows][:, columns]


CORRELATIONS = Registry("correlations", "correlation", VisitCorrelation)
