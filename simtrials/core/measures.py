"""Performance measures of an analysis over many replicates, each with its Monte Carlo standard error (MCSE).

A `Tally` takes blocks of judged estimates one after another and keeps sums only, so memory does not grow with the replicates.

Source: Morris, White & Crowther 2019, Statistics in Medicine 38:2074, table 6, for bias, empirical and model SE, mean squared error,
coverage and rejection; type M and S errors as in Gelman & Carlin 2014, Perspectives on Psychological Science 9:641.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of a simulation: its value, its Monte Carlo standard error, and what it rests on."""

    name: str
    value: float
    mcse: float
    n_replicates: int
    n_failed: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """Estimates of a block with what was concluded from them, (R,) each. A replicate that cannot be estimated rejects nothing.

    `truth` is given where each trial has its own.
    """

    estimate: FloatArray
    std_error: FloatArray
    lower: FloatArray
    upper: FloatArray
    rejected: BoolArray
    benefit: BoolArray
    status: AnyArray
    truth: FloatArray | None = None
    flags: Mapping[str, AnyArray] = field(default_factory=dict)
    numbers: Mapping[str, FloatArray] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Truth:
    """The value of an estimand under the scenario, with its own standard error; `kind` says where it comes from."""

    value: float
    std_error: float
    kind: str


@dataclass(slots=True)
class Tally:
    """Sums over replicates of one analysis, about the truth where there is one."""

    truth: Truth | None = None
    n: int = 0
    n_estimable: int = 0
    n_finite: int = 0
    n_rejected: int = 0
    n_benefit: int = 0
    n_wrong_sign: int = 0
    n_covered: int = 0
    n_intervals: int = 0
    n_widths: int = 0
    total: float = 0.0
    own_truths: bool = False
    errors: FloatArray = field(default_factory=lambda: np.zeros(4))
    variances: FloatArray = field(default_factory=lambda: np.zeros(2))
    n_variances: int = 0
    widths: FloatArray = field(default_factory=lambda: np.zeros(2))
    significant: FloatArray = field(default_factory=lambda: np.zeros(3))
    failures: dict[int, int] = field(default_factory=dict)
    flags: dict[str, int] = field(default_factory=dict)
    flags_of: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, FloatArray] = field(default_factory=dict)
    """name -> how many replicates have the number, its sum and its sum of squares"""

    def add(self, judged: Judged) -> None:
        """Count a block in."""
        truth = np.broadcast_to(self.truth.value if self.truth else 0.0, judged.status.shape)
        if judged.truth is not None:
            truth, self.own_truths = judged.truth, True
        estimable = judged.status == 0
        known = np.isfinite(judged.estimate) & estimable
        self.n += judged.status.size
        self.n_estimable += int(estimable.sum())
        self.n_finite += int(known.sum())
        self.n_rejected += int(judged.rejected.sum())
        self.n_benefit += int(judged.benefit.sum())
        self.total += judged.estimate[known].sum()
        error = judged.estimate[known] - truth[known]
        square = error * error
        self.errors += (error.sum(), square.sum(), (square * error).sum(), (square * square).sum())
        variance = judged.std_error[known] ** 2
        variance = variance[np.isfinite(variance)]
        self.n_variances += variance.size
        self.variances += (variance.sum(), (variance * variance).sum())
        with np.errstate(invalid="ignore"):
            width = (judged.upper - judged.lower)[estimable]
        width = width[np.isfinite(width)]
        bounded = estimable & ~np.isnan(judged.lower) & ~np.isnan(judged.upper)
        self.n_intervals += int(bounded.sum())
        self.n_covered += int((bounded & (judged.lower <= truth) & (judged.upper >= truth)).sum())
        self.n_widths += width.size
        self.widths += (width.sum(), (width * width).sum())
        found = judged.estimate[judged.rejected & known]
        self.significant += (found.size, np.abs(found).sum(), (found * found).sum())
        self.n_wrong_sign += int((np.sign(found) == -np.sign(truth[judged.rejected & known])).sum())
        codes, counts = np.unique(judged.status[judged.status != 0], return_counts=True)
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
            self.failures[code] = self.failures.get(code, 0) + count
        for label, flag in judged.flags.items():
            known = ~np.isnan(flag) if flag.dtype.kind == "f" else np.ones(flag.shape, dtype=bool)
            self.flags[label] = self.flags.get(label, 0) + int(flag[known].sum())
            self.flags_of[label] = self.flags_of.get(label, 0) + int(known.sum())
        for label, number in judged.numbers.items():
            finite = number[np.isfinite(number)]
            sums = np.array([finite.size, finite.sum(), (finite * finite).sum()])
            self.numbers[label] = self.numbers.get(label, np.zeros(3)) + sums

    @property
    def n_failed(self) -> int:
        """Replicates that could not be estimated."""
        return self.n - self.n_estimable

    def measures(self) -> Iterator[Measure]:
        """Every measure; NaN with a note where it does not exist."""
        yield self._share("power", self.n_benefit, self.n)
        yield self._share("rejection", self.n_rejected, self.n)
        yield self._share("power_among_estimable", self.n_benefit, self.n_estimable)
        yield self._share("not_estimable", self.n_failed, self.n)
        yield from self._errors()
        yield from self._intervals()
        yield from self._among_significant()
        for label, count in self.flags.items():
            yield self._share(label, count, self.flags_of[label])
        for label, sums in self.numbers.items():
            yield self._mean(label, *sums)

    def _mean(self, name: str, n: float, total: float, squares: float) -> Measure:
        if n < 2:
            return self._make(name, np.nan, np.nan, "fewer than two replicates have it")
        mean = total / n
        return self._make(name, mean, np.sqrt(max(squares / n - mean**2, 0.0) / (n - 1)), self._left_out(self.n - int(n), "replicates without it"))

    def _make(self, name: str, value: float, mcse: float, note: str = "") -> Measure:
        return Measure(name, float(value), float(mcse), self.n, self.n_failed, note)

    @staticmethod
    def _left_out(count: int, what: str) -> str:
        return f"{count:,} {what} left out" if count else ""

    def _share(self, name: str, count: int, of: int) -> Measure:
        if of == 0:
            return self._make(name, np.nan, np.nan, "no replicate could be estimated")
        return self._make(name, count / of, share_mcse(count, of))

    def _errors(self) -> Iterator[Measure]:
        n = self.n_finite
        if n < 2:
            for name in ("mean_estimate", "bias", "empirical_se", "model_se", "relative_error_of_model_se", "mean_squared_error"):
                yield self._make(name, np.nan, np.nan, "fewer than two replicates could be estimated")
            return
        mean, mean_square, _, mean_fourth = self.errors / n
        variance = max((self.errors[1] - n * mean**2) / (n - 1), 0.0)
        truth = self.truth.value if self.truth else 0.0
        truth_error = self.truth.std_error if self.truth else 0.0
        infinite = self._left_out(self.n_estimable - n, "infinite estimates")
        yield self._make("mean_estimate", self.total / n if self.own_truths else truth + mean, np.sqrt(variance / n), infinite)
        if self.truth:
            yield self._make("bias", mean, np.sqrt(variance / n + truth_error**2), infinite)
        empirical = np.sqrt(variance)
        yield self._make("empirical_se", empirical, empirical / np.sqrt(2 * (n - 1)))
        if self.n_variances >= 2:
            yield from self._model_se(empirical, n)
        if self.truth:
            spread = np.sqrt(max(mean_fourth - mean_square**2, 0.0) / (n - 1) + (2 * mean * truth_error) ** 2)
            yield self._make("mean_squared_error", mean_square, spread)

    def _model_se(self, empirical: float, n: int) -> Iterator[Measure]:
        m = self.n_variances
        mean, mean_square = self.variances / m
        model, spread = np.sqrt(mean), max(mean_square - mean**2, 0.0) * m / (m - 1)
        yield self._make("model_se", model, np.sqrt(spread / (4 * m * mean)) if mean > 0 else 0.0)
        if empirical > 0:
            ratio = model / empirical
            mcse = ratio * np.sqrt(spread / (4 * m * mean**2) + 1 / (2 * (n - 1)))
            yield self._make("relative_error_of_model_se", ratio - 1, mcse)

    def _intervals(self) -> Iterator[Measure]:
        if self.n_intervals == 0:
            yield self._make("coverage", np.nan, np.nan, "this analysis gives no interval")
            return
        if self.truth:
            yield self._share("coverage", self.n_covered, self.n_intervals)
        n = self.n_widths
        if n == 0:
            yield self._make("interval_width", np.nan, np.nan, "every interval is infinite")
            return
        mean = self.widths[0] / n
        spread = max(self.widths[1] / n - mean**2, 0.0)
        yield self._make("interval_width", mean, np.sqrt(spread / n), self._left_out(self.n_intervals - n, "infinite intervals"))

    def _among_significant(self) -> Iterator[Measure]:
        n, total, squares = self.significant
        truth = self.truth.value if self.truth else np.nan
        why = ""
        if not self.truth:
            why = "the truth is not known"
        elif truth == 0 or abs(truth) < 4 * self.truth.std_error:
            why = "the truth is 0, or cannot be told from it"
        elif n < 2:
            why = "fewer than two replicates were statistically significant"
        if why:
            yield self._make("exaggeration", np.nan, np.nan, why)
            yield self._make("wrong_sign", np.nan, np.nan, why)
            return
        ratio = total / n / abs(truth)
        spread = max(squares / n - (total / n) ** 2, 0.0) / n
        relative = self.truth.std_error / abs(truth) if self.truth else 0.0
        yield self._make("exaggeration", ratio, np.sqrt(spread / truth**2 + (ratio * relative) ** 2))
        yield self._share("wrong_sign", self.n_wrong_sign, int(n))


def share_mcse(count: int, of: int) -> float:
    """Monte Carlo standard error of a share, from (x + 2) / (n + 4), so that 0 of 256 does not look exact."""
    centre = (count + 2) / (of + 4)
    return float(np.sqrt(centre * (1 - centre) / of))


def wilson(count: int, of: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson's interval of a share.

    Source: Wilson 1927, JASA 22:209.
    """
    share = count / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z * np.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return float(max(middle - half, 0.0)), float(min(middle + half, 1.0))
