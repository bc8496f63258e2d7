"""The page on whom to enroll: one HTML file that stands alone, with its figure as SVG and PNG and all numbers as CSV beside it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from simtrials.engine.files import tables_of
from simtrials.engine.scenario import Scenario
from simtrials.engine.store import write_whole
from simtrials.planning.enrollment_result import WhomToEnroll
from simtrials.report import look, numbers
from simtrials.report.assumptions import Assumption, Point, course_assumption, level_assumption, screening_assumption, source_of
from simtrials.report.html import NAME, picture_of, rendered
from simtrials.report.names import spoken_assay
from simtrials.report.planning.enrollment import (
    answer_sentences,
    designs_table,
    dilution_table,
    effect_unit,
    notes,
    own_place,
    shape_sentences,
    valued,
    values_table,
)
from simtrials.report.planning.enrollment_figure import TradeOff
from simtrials.report.sentences import sentence_case
from simtrials.report.toml import scenario_toml
from simtrials.trial.logistics import Costs

FIGURE = "trade-off"


@dataclass(frozen=True, slots=True)
class Sheet:
    """What the foot of every printed page says."""

    scenario: Scenario
    digest: str


def write_enrollment(found: WhomToEnroll, folder: Path, command: str = "") -> Path:
    """Write report.html, the figure and all numbers into a folder; the path of the page."""
    picture = picture_of(FIGURE, TradeOff(found))
    write_whole(folder / f"{FIGURE}.svg", picture.svg)
    write_whole(folder / f"{FIGURE}.png", picture.png)
    write_whole(folder / "enrollment.csv", found.to_frame().to_csv(index=False))
    scenario = found.scenario
    digest = scenario.digest({name: table.checksum for name, table in tables_of(scenario).items()})
    trials = f"{numbers.whole(found.replicates)} simulated trials"
    content = {
        "look": look,
        "run": Sheet(scenario, digest),
        "title": scenario.question or f"Whom to enroll: {scenario.name}",
        "about": " · ".join([scenario.name, digest, trials, f"{datetime.now(UTC):%Y-%m-%d}", f"simtrials {version('simtrials')}"]),
        "answer": answer_sentences(found),
        "shapes": [(sentence_case(shape.label), shape_sentences(found, shape)) for shape in found.shapes],
        "picture": picture,
        "designs": designs_table(found),
        "assumptions": list(assumptions(found)),
        "minded": list(minded(found)),
        "command": command if command.startswith("simtrials enroll") else f"simtrials enroll {scenario.name}.toml",
        "notes": list(notes(found)),
        "values": [values_table(found, shape) for shape in found.shapes],
        "dilution": dilution_table(found),
        "scenario_toml": scenario_toml(scenario),
    }
    path = folder / NAME
    write_whole(path, rendered("enrollment.html.j2", content))
    return path


def assumptions(found: WhomToEnroll) -> Iterator[Assumption]:
    """Shapes of the effect, control arm, who is enrolled, level, recruitment, prices."""
    scenario, endpoint = found.scenario, found.scenario.analyses[found.asked.analysis].endpoint
    shapes = [
        f"{shape.label}: {numbers.fixed(_own_effect(found, i), 1)} {effect_unit(scenario.endpoints[endpoint])}"
        for i, shape in enumerate(found.shapes)
    ]
    at = f" on average over those enrolled at {valued(found, found.values[own_place(found) or 0])}"
    yield Assumption("Effect", f"{'; '.join(shapes)}{at}", source_of(scenario, f"endpoints.{endpoint}.effects.{scenario.design.arms[1]}"))
    yield course_assumption(scenario)
    yield screening_assumption(scenario)
    yield level_assumption(scenario)
    if scenario.recruitment is not None:
        made = scenario.recruitment
        rate = f"{made.sites} sites, one opens every {numbers.plain(made.months_between_openings)} months; "
        rate += f"{numbers.plain(made.screened_per_site_month)} candidates a month each (CV {numbers.plain(made.site_cv)})"
        yield Assumption("Recruitment", rate, source_of(scenario, "recruitment.screened_per_site_month", "recruitment"))
    if scenario.costs is not None:
        priced = [name for name in Costs.model_fields if name != "currency" and getattr(scenario.costs, name) > 0]
        prices = ", ".join(f"{name.replace('per_', 'per ').replace('_', ' ')} {numbers.whole(getattr(scenario.costs, name))}" for name in priced)
        sources = dict.fromkeys(f"{name.replace('_', ' ')}: {source_of(scenario, f'costs.{name}')}" for name in priced)
        yield Assumption("Prices", f"{prices} {scenario.costs.currency}", "; ".join(sources))


def _own_effect(found: WhomToEnroll, shape: int) -> float:
    return found.shapes[shape].choices[own_place(found) or 0].funnel.effect


def minded(found: WhomToEnroll) -> Iterator[Point]:
    """What a reader should mind."""
    scenario = found.scenario
    choices = [choice for shape in found.shapes for choice in (*shape.choices, *shape.designs)]
    lost = sum(share.failed for choice in choices for share in choice.shares.values())
    yield Point(f"Failed: {numbers.whole(lost)} analyses." if lost else "Failed: 0 analyses.", strong=lost > 0)
    impossible = sum(choice.found.n is None for choice in choices)
    if impossible:
        yield Point(f"{numbers.whole(impossible)} of {numbers.whole(len(choices))} choices reach the power with no number of patients.", strong=True)
    own = own_place(found) or 0
    made = found.shapes[0].choices[own].funnel
    if made.below is not None and scenario.assays:
        marker = spoken_assay(next(iter(scenario.assays)))
        share, at = numbers.fixed(100 * made.below, 0), valued(found, found.values[own])
        yield Point(f"{share} of 100 enrolled at {at} usually have {marker} below the lowest admitted.")
    if any(choice.funnel.pass_rates.size for choice in choices):
        yield Point("The survey's own uncertainty is carried into screening, months and cost, not into the number to randomize.")
    yield Point("Shapes of the effect are assumptions: no trial has told them apart.") if len(found.shapes) > 1 else Point("One shape of the effect.")
    if scenario.costs is not None:
        parts = {"fixed": "fixed costs", "per_site": "sites", "per_month": "running costs", "per_screen per_sample": "screening"}
        parts |= {"per_patient per_visit": "patients"}
        free = [words for names, words in parts.items() if not any(getattr(scenario.costs, name) for name in names.split())]
        if free:
            yield Point(f"Not priced: {', '.join(free)}.")
