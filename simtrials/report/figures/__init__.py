"""Figures of a run by name: each says whether it applies, what it shows in a sentence, the numbers behind it, and draws itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from matplotlib.figure import Figure

from simtrials.core.errors import SimtrialsError, did_you_mean
from simtrials.engine.result import Run
from simtrials.report.figures import biomarker, course, effect, estimates, flow, missing, power
from simtrials.report.figures.canvas import save, styled


class Drawing(Protocol):
    """What a figure shows, gathered from a run; nothing is drawn before `draw`."""

    @property
    def sentence(self) -> str:
        """What is to be seen, in words."""

    def table(self) -> list[tuple[str, ...]]:
        """The numbers behind the figure, head first, in full precision."""

    def draw(self) -> Figure:
        """The figure."""


@dataclass(frozen=True, slots=True)
class FigureKind:
    """One kind of figure. `gather` finds all of its drawings in a run, by the analysis, endpoint or assay that they show."""

    name: str
    gather: Callable[[Run], Mapping[str, Drawing]]

    def drawings(self, run: Run) -> dict[str, Drawing]:
        """Every drawing by its full name: the kind, and what it shows where there may be several."""
        return {f"{self.name}-{item}" if item else self.name: drawing for item, drawing in self.gather(run).items()}

    def applies(self, run: Run) -> bool:
        """Whether there is something to draw."""
        return bool(self.gather(run))

    def __call__(self, run: Run) -> Figure:
        """The first of its figures."""
        return drawn(_only(self.name, self.drawings(run)))


FIGURES = {
    kind.name: kind
    for kind in (
        FigureKind("power", power.gather),
        FigureKind("biomarker", biomarker.gather),
        FigureKind("effect", effect.gather),
        FigureKind("course", course.gather),
        FigureKind("estimates", estimates.gather),
        FigureKind("flow", flow.gather),
        FigureKind("missing", missing.gather),
    )
}


def drawn(drawing: Drawing) -> Figure:
    """The figure in the look of all figures, whatever the reader's own settings."""
    with styled():
        return drawing.draw()


def draw(run: Run, name: str = "power", path: str | Path | None = None) -> Figure:
    """A figure of a run: `power`, or with what it shows as in `course-madrs`; saved as SVG or PNG when a path is given.

    Raises
    ------
    SimtrialsError
        When there is no such figure, or it does not apply to this run.
    """
    kind = name.partition("-")[0]
    if kind not in FIGURES:
        raise SimtrialsError(f"no figure called {name!r}{did_you_mean(name, FIGURES)}")
    found = FIGURES[kind].drawings(run)
    figure = drawn(found[name] if name in found else _only(name, found))
    if path is not None:
        save(figure, path)
    return figure


def _only(name: str, found: Mapping[str, Drawing]) -> Drawing:
    if not found:
        raise SimtrialsError(f"figure {name!r} does not apply to this run; it has nothing to show")
    first = next(iter(found))
    if "-" in name and name not in (first, first.partition("-")[0]):
        raise SimtrialsError(f"no figure called {name!r}{did_you_mean(name, found)}")
    return found[first]
