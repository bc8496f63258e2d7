"""A scenario of bodies of evidence: the studies, what becomes of them, the syntheses, and how often to simulate it."""

from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from simtrials.core.check import Component, Many, fault
from simtrials.core.errors import Problem
from simtrials.engine.declared import Declared, patterns_name, sources_name_fields
from simtrials.evidence.checks import evidence_problems
from simtrials.evidence.evidence import Evidence
from simtrials.evidence.syntheses import Synthesis
from simtrials.trial.checks import Draft


class Variant(Component):
    """The same scenario with some fields changed; it is run beside the scenario."""

    label: str = Field(default="", description="how tables and figures call it")
    set: dict[str, Any] = Field(description="values of fields by their path, as in --set")
    answers: bool = Field(default=False, description="whether it stands on the first page of the report, as something that could settle the question")


class EvidenceScenario(Evidence, Declared):
    """Everything that a simulation of bodies of evidence needs, as one frozen value."""

    variants: dict[str, Variant] = Field(default_factory=dict, description="settings that are run beside the scenario, by name")
    sweep: dict[str, Many[Any]] = Field(
        default_factory=dict, description="values that fields run through, as 'path.of.field' = [values]; all combinations are run"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = list(evidence_scenario_problems(Draft({name: getattr(self, name) for name in type(self).model_fields})))
        if problems:
            raise fault("; ".join(str(problem) for problem in problems))
        return self

    @property
    def analyses(self) -> Mapping[str, Synthesis]:
        """What is concluded, by name."""
        return self.syntheses

    def null(self) -> "EvidenceScenario":
        """The same scenario when the mean of true effects is 0 everywhere; their spread between studies stays, and so does all that biases."""
        endpoints = {name: endpoint.model_copy(update=_without_effect(endpoint)) for name, endpoint in self.endpoints.items()}
        law = self.true_effects.model_copy(update={"by_class": {}})
        return self.model_copy(update={"endpoints": endpoints, "true_effects": law})


def _without_effect(endpoint: Any) -> dict[str, Any]:
    effects = {arm: effect.model_copy(update={effect.size_name: 0.0}) for arm, effect in endpoint.effects.items()}
    return {"effects": effects} | ({"arm_risk": {}} if getattr(endpoint, "arm_risk", None) else {})


def evidence_scenario_problems(draft: Draft) -> Iterator[Problem]:
    """Everything that does not fit together in a scenario of bodies of evidence."""
    yield from evidence_problems(draft)
    if draft.has("syntheses"):
        yield from patterns_name(draft, "syntheses", "synthesis")
    yield from sources_name_fields(draft, Evidence.model_fields)
    for path, values in draft.parts.get("sweep", {}).items():
        if not values:
            yield Problem(f"sweep.{path!r}", "needs at least one value")
