"""Figures of a run of bodies of evidence by name."""

from collections.abc import Callable, Mapping
from pathlib import Path

from matplotlib.figure import Figure

from simtrials.core.errors import SimtrialsError, did_you_mean
from simtrials.engine.declared import NULL
from simtrials.engine.evidence.result import EvidenceRun
from simtrials.report.evidence.figures import example, grid, zipped
from simtrials.report.evidence.rows import power_rows
from simtrials.report.evidence.sentences import answer
from simtrials.report.figures import Drawing, drawn
from simtrials.report.figures.canvas import save
from simtrials.report.figures.power import Power

Gather = Callable[[EvidenceRun], Mapping[str, Drawing]]


def power(run: EvidenceRun) -> Mapping[str, Drawing]:
    """Always one."""
    rows, sentence = power_rows(run), " ".join(answer(run))
    return {"": Power(rows, run.scenario.target_power, run.n_replicates, NULL in run.cells, sentence, "reviews")}


FIGURES: dict[str, Gather] = {
    "power": power,
    "zip": zipped.gather,
    "methods": grid.gather,
    "forest": example.forests,
    "funnel": example.funnels,
}


def drawings(run: EvidenceRun) -> dict[str, Drawing]:
    """Every drawing by its full name: the kind, and what it shows where there may be several."""
    return {f"{kind}-{item}" if item else kind: drawing for kind, gather in FIGURES.items() for item, drawing in gather(run).items()}


def draw(run: EvidenceRun, name: str = "power", path: str | Path | None = None) -> Figure:
    """A figure of a run: `power`, or with what it shows as in `zip-severity`; saved as SVG or PNG when a path is given.

    Raises
    ------
    SimtrialsError
        When there is no such figure, or it does not apply to this run.
    """
    kind = name.partition("-")[0]
    if kind not in FIGURES:
        raise SimtrialsError(f"no figure called {name!r}{did_you_mean(name, FIGURES)}")
    found = {f"{kind}-{item}" if item else kind: drawing for item, drawing in FIGURES[kind](run).items()}
    if not found:
        raise SimtrialsError(f"figure {name!r} does not apply to this run; it has nothing to show")
    if name not in found and name != kind:
        raise SimtrialsError(f"no figure called {name!r}{did_you_mean(name, found)}")
    figure = drawn(found.get(name, next(iter(found.values()))))
    if path is not None:
        save(figure, path)
    return figure
