"""What a scenario declares for the question whom to enroll."""

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from simtrials.core.check import Component, Count, Many, OpenProbability, Positive
from simtrials.core.errors import Problem, did_you_mean
from simtrials.trial.checks import Draft


class Shape(Component):
    """Something else that could be true, such as another course of the effect over the biomarker."""

    label: str = Field(default="", description="how tables and figures call it")
    set: dict[str, Any] = Field(description="values of fields by their path, as in --set")


class Rival(Component):
    """Another design that stands beside the others on one page."""

    label: str = Field(default="", description="how tables call it")
    set: dict[str, Any] = Field(default_factory=dict, description="values of fields by their path, as in --set")
    analysis: str | None = Field(default=None, description="analysis that must reach the power; default: that of the question")
    also: Many[str] = Field(default=(), description="other analyses whose power is shown at the number that it takes")


class Survey(Component):
    """Columns of the population's data that say how its people were sampled; their rows are drawn again by cluster."""

    strata: str = Field(description="column with the stratum")
    clusters: str = Field(description="column with the cluster within its stratum")
    samples: Count = Field(default=1_000, description="bootstrap samples")


class Enrollment(Component):
    """The question whom to enroll: values of a field of eligibility or of screening, what must be reached, and what could be true."""

    over: dict[str, Many[Any]] = Field(description="the field and its values, as 'eligibility.0.at_least' = [0.0, 1.0, 2.0]")
    analysis: str = Field(description="analysis that must reach the power")
    power: OpenProbability = Field(default=0.9, description="power that the number of patients must reach")
    budget: Positive | None = Field(default=None, description="money, for the most power that it buys; in the currency of the costs")
    shapes: dict[str, Shape] = Field(default_factory=dict, description="what could be true, by name; default: the scenario as declared")
    designs: dict[str, Rival] = Field(default_factory=dict, description="designs on one page, by name")
    survey: Survey | None = Field(
        default=None, description="how the people of the data were sampled; without it their prevalences are taken as known"
    )


def enrollment_problems(draft: Draft) -> Iterator[Problem]:
    """What does not fit together in the question whom to enroll."""
    asked: Enrollment | None = draft.parts.get("enrollment")
    if asked is None:
        return
    if len(asked.over) != 1:
        yield Problem("enrollment.over", f"must name one field, such as 'eligibility.0.at_least' = [0.0, 1.0, 2.0], got {len(asked.over)}")
    for path, values in asked.over.items():
        if len(values) < 2 or len(set(map(repr, values))) < len(values):
            yield Problem(f"enrollment.over.{path!r}", "needs at least two different values")
    analyses = draft.parts.get("analyses", {})
    wanted = [("enrollment.analysis", asked.analysis)]
    for name, rival in asked.designs.items():
        own = {path.split(".")[1] for path in rival.set if path.startswith("analyses.") and path.count(".") == 1}
        names = [*([rival.analysis] if rival.analysis else []), *rival.also]
        wanted += [(f"enrollment.designs.{name}", one) for one in names if one not in own]
    for place, name in wanted:
        if name not in analyses and not draft.lost("analyses", name):
            yield Problem(place, f"no analysis called {name!r}{did_you_mean(name, analyses)}")
