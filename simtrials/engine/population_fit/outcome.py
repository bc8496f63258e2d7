"""A fitted population: the block for a scenario file, and the comparison of the population with the data."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simtrials.engine.population_fit.results import Association, Estimated, LogNormal, Prevalence, QuantilePlot, Regression
from simtrials.engine.population_fit.sample import LeftOut, Request
from simtrials.engine.store import write_whole
from simtrials.engine.toml_block import block, comment
from simtrials.trial.populations import Population

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REGRESSION_ROWS = ("intercept", "bmi_slope", "age_slope", "female", "residual_sd")


@dataclass(frozen=True, slots=True)
class PopulationFit:
    """A population fitted to a data file; `population` is the component, `toml()` the block that declares it."""

    name: str
    data: str
    checksum: str
    request: Request
    population: Population
    declared: dict[str, Any]
    n_rows: int
    left_out: tuple[LeftOut, ...]
    n: int
    lacking: tuple[LeftOut, ...]
    n_complete: int
    effective_size: float
    n_below: int
    limit: float | None
    prevalences: tuple[Prevalence, ...]
    ln_mean: Estimated
    ln_sd: Estimated
    log_normal: LogNormal
    regression: Regression | None
    associations: tuple[Association, ...]
    qq: QuantilePlot
    seed: int
    n_simulated: int
    notes: tuple[str, ...]

    @property
    def kind(self) -> str:
        return self.population.kind

    def toml(self) -> str:
        """The population as a block of a scenario file, with where it comes from as a comment."""
        filtered = f" with {self.request.where}" if self.request.where else ""
        weighted = f", weighted by {self.request.weights}" if self.request.weights else ""
        head = [comment(f"Fitted to {self.n:,} people of {Path(self.data).name}{filtered}{weighted}; sha256 of the file {self.checksum[:12]}.")]
        known = [prevalence for prevalence in self.prevalences if prevalence.share.data is not None]
        told = ", ".join(f">= {prevalence.cut:g} in {_percent(prevalence.share)}%" for prevalence in known)
        head += [comment(f"Measured CRP in mg/L of the data (standard error): {told}.")] if told else []
        limit = "" if self.limit is None else f", limit_of_detection = {self.limit!r}"
        head += [comment(f"One measured sample per person: [assays.crp] with kind = 'serial', observed = '{self.request.crp}'{limit}.")]
        return "\n".join([*head, "", block(["population"], self.declared)])

    def to_dict(self) -> dict[str, Any]:
        """All that was found, as plain values; None where the data cannot tell."""
        return {
            "name": self.name,
            "data": self.data,
            "checksum": self.checksum,
            "population": self.declared,
            "rows": {
                "file": self.n_rows,
                "left_out": {reason.reason: reason.n for reason in self.left_out},
                "used": self.n,
                "lacking": {reason.reason: reason.n for reason in self.lacking},
                "complete": self.n_complete,
                "effective": self.effective_size,
                "below_limit": self.n_below,
            },
            "limit_of_detection": self.limit,
            "prevalence": [{"cut": p.cut, **_plain(p.share), "log_normal": p.log_normal} for p in self.prevalences],
            "ln_crp": {"mean": _plain(self.ln_mean), "sd": _plain(self.ln_sd)},
            "log_normal": {"mean_log": self.log_normal.mean, "sd_log": self.log_normal.sd},
            "regression": self._regression(),
            "correlations": [{"between": [a.first, a.second], **_plain(a.correlation)} for a in self.associations],
            "simulated": {"n": self.n_simulated, "seed": self.seed},
            "notes": list(self.notes),
        }

    def _regression(self) -> dict[str, Any] | None:
        if self.regression is None:
            return None
        found = self.regression
        rows = {name: {"value": getattr(found, name), "std_error": error} for name, error in zip(REGRESSION_ROWS, found.std_errors, strict=True)}
        return {**rows, "explained": found.explained, "n": found.n}

    def to_frame(self) -> "pd.DataFrame":
        """One row for each number: part, name, data, std_error, fitted, mcse."""
        import pandas as pd

        rows: list[dict[str, Any]] = [{"part": "rows", "name": "in the file", "data": self.n_rows}]
        rows += [{"part": "rows", "name": f"left out: {reason.reason}", "data": reason.n} for reason in self.left_out]
        rows += [{"part": "rows", "name": "used", "data": self.n}, {"part": "rows", "name": "effective size", "data": self.effective_size}]
        rows += [{"part": "rows", "name": f"of these {reason.reason}", "data": reason.n} for reason in self.lacking]
        counts = {"with every covariate": self.n_complete, "below the limit of detection": self.n_below}
        rows += [{"part": "rows", "name": name, "data": count} for name, count in counts.items()]
        rows += [{"part": "prevalence", "name": f"crp >= {p.cut:g}", **_plain(p.share), "log_normal": p.log_normal} for p in self.prevalences]
        rows += [{"part": "ln_crp", "name": "mean", **_plain(self.ln_mean), "log_normal": self.log_normal.mean}]
        rows += [{"part": "ln_crp", "name": "sd", **_plain(self.ln_sd), "log_normal": self.log_normal.sd}]
        if self.regression is not None:
            errors = zip(REGRESSION_ROWS, self.regression.std_errors, strict=True)
            rows += [{"part": "regression", "name": name, "data": getattr(self.regression, name), "std_error": error} for name, error in errors]
        rows += [{"part": "correlation", "name": f"{a.first} with {a.second}", **_plain(a.correlation)} for a in self.associations]
        return pd.DataFrame(rows, columns=["part", "name", "data", "std_error", "fitted", "mcse", "log_normal"])

    def summary(self) -> str:
        """Rows used and left out, prevalences, regression and correlations, as text of 80 columns."""
        from simtrials.report.population import summary

        return summary(self)

    def plot(self, ax: "Axes | None" = None) -> "Figure":
        """Quantiles of CRP in the data against those of the population, drawn into `ax` or a new figure."""
        from simtrials.report.figures.population_fit import draw

        return draw(self, ax)

    def write(self, folder: str | Path) -> dict[str, Path]:
        """Write population.toml, fit.csv, qq.svg and qq.png, each of them whole or not at all; return their paths."""
        from simtrials.report.figures.population_fit import image

        content: dict[str, str | bytes] = {
            "population.toml": self.toml(),
            "fit.csv": self.to_frame().to_csv(index=False, lineterminator="\n"),
            "qq.svg": image(self, "svg"),
            "qq.png": image(self, "png"),
        }
        paths = {name: Path(folder) / name for name in content}
        for name, path in paths.items():
            write_whole(path, content[name])
        return paths

    def __repr__(self) -> str:
        return self.summary()


def _plain(estimated: Estimated) -> dict[str, float | None]:
    return {"data": estimated.data, "std_error": estimated.std_error, "fitted": estimated.fitted, "mcse": estimated.mcse}


def _percent(share: Estimated) -> str:
    assert share.data is not None
    error = "" if share.std_error is None else f" ({100 * share.std_error:.1f})"
    return f"{100 * share.data:.1f}{error}"
