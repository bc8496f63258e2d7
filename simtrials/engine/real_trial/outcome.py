"""What is found in a real trial: findings of analyses, and a fitted course beside the data."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simtrials.core.data import EffectScale, Scale
from simtrials.engine.real_trial.read import RealTrial
from simtrials.engine.store import write_whole
from simtrials.engine.toml_block import block, comment

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Finding:
    """What one analysis finds; numbers are None where they do not exist. `effect` is what the estimate is."""

    analysis: str
    method: str
    where: str
    analysis_set: str
    missing: str
    outcome: str
    week: float
    effect: EffectScale
    n_active: int
    n_control: int
    estimate: float | None
    std_error: float | None
    lower: float | None
    upper: float | None
    level: float
    df: float | None
    p_value: float | None
    shows: str
    status: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrialAnalysis:
    """The findings of some analyses of one real trial."""

    trial: RealTrial
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values: who was analysed, and every finding."""
        measured = self.trial.measured
        arms = {arm: int((self.trial.data.arm == code).sum()) for code, arm in enumerate(self.trial.data.arms)}
        return {
            "data": self.trial.source,
            "checksum": self.trial.checksum,
            "endpoint": self.trial.name,
            "arms": arms,
            "visits": {f"{week:g}": int(measured.observed[0, :, visit].sum()) for visit, week in enumerate(measured.weeks)},
            "left_out": dict(self.trial.counts),
            "findings": [asdict(finding) for finding in self.findings],
        }

    def to_frame(self) -> "pd.DataFrame":
        """One row per analysis."""
        import pandas as pd

        return pd.DataFrame([asdict(finding) for finding in self.findings], columns=[field.name for field in fields(Finding)])

    def summary(self) -> str:
        """The table that the terminal shows."""
        from simtrials.report.real_trial import summary

        return summary(self)

    def __repr__(self) -> str:
        return self.summary()


@dataclass(frozen=True, slots=True)
class Compared:
    """One number of the data with its sampling error, and of simulated patients. `week` and `other` are None where they do not apply."""

    part: str
    arm: str
    week: float
    other: float | None
    data: float
    std_error: float
    fitted: float
    mcse: float


@dataclass(frozen=True, slots=True)
class CourseFit:
    """A fitted course: `toml()` declares it, `compared` shows it beside the data."""

    name: str
    source: str
    checksum: str
    scale: Scale
    arms: Mapping[str, int]
    weeks: tuple[float, ...]
    declared: Mapping[str, Any]
    compared: tuple[Compared, ...]
    counts: Mapping[str, int]
    notes: tuple[str, ...]
    seed: int

    def toml(self) -> str:
        """The endpoint and the loss of patients as blocks of a scenario file, with where they come from as comments."""
        sizes = ", ".join(f"{arm} {n}" for arm, n in self.arms.items())
        head = [comment(f"Fitted to {sum(self.arms.values())} patients of {self.source} ({sizes}); sha256 of the file {self.checksum[:12]}.")]
        head += [comment(note) for note in self.notes]
        head += [comment(f"It belongs to a design with arms = [{', '.join(repr(arm) for arm in self.arms)}].".replace("'", '"'))]
        parts = [block([section, key], table) for section, tables in self.declared.items() for key, table in tables.items()]
        return "\n".join([*head, "", "\n".join(parts)])

    def to_dict(self) -> dict[str, Any]:
        """All that was found, as plain values."""
        return {
            "name": self.name,
            "data": self.source,
            "checksum": self.checksum,
            "scale": self.scale.name,
            "arms": dict(self.arms),
            "declared": dict(self.declared),
            "compared": [asdict(row) for row in self.compared],
            "left_out": dict(self.counts),
            "notes": list(self.notes),
            "seed": self.seed,
        }

    def to_frame(self) -> "pd.DataFrame":
        """One row for each number that is compared."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.compared])

    def summary(self) -> str:
        """The comparison as the terminal shows it."""
        from simtrials.report.course_fit import summary

        return summary(self)

    def plot(self) -> "Figure":
        """Means, SDs, correlations and patients still seen, in the data and as simulated."""
        from simtrials.report.figures.course_fit import draw

        return draw(self)

    def write(self, folder: str | Path) -> dict[str, Path]:
        """Write course.toml, fit.csv, course.svg and course.png, each of them whole or not at all; return their paths."""
        from simtrials.report.figures.course_fit import image

        content: dict[str, str | bytes] = {
            "course.toml": self.toml(),
            "fit.csv": self.to_frame().to_csv(index=False, lineterminator="\n"),
            "course.svg": image(self, "svg"),
            "course.png": image(self, "png"),
        }
        paths = {name: Path(folder) / name for name in content}
        for name, path in paths.items():
            write_whole(path, content[name])
        return paths

    def __repr__(self) -> str:
        return self.summary()
