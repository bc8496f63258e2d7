"""Where the values that a sample-size paragraph states come from, and which of them have no source."""

from collections.abc import Iterator, Sequence

from simtrials.engine.scenario import Scenario
from simtrials.report.names import arm_of, spoken, spoken_assay, spoken_endpoint
from simtrials.trial.endpoints import AdverseEvent, Binary, Continuous, SymptomScale


def sourced(scenario: Scenario, names: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Values that the paragraph of these analyses states with their sources, and those without any."""
    found, without = list[tuple[str, str]](), list[str]()
    for what, path in dict.fromkeys(_stated(scenario, names)):
        source = source_at(scenario, path)
        if source:
            found.append((what, source))
        else:
            without.append(what)
    return found, without


def source_at(scenario: Scenario, path: str) -> str:
    """The source of a field or of the nearest table around it, else the sources of the fields below it; empty where there is none."""
    around = [key for key in scenario.sources if path == key or path.startswith(f"{key}.")]
    if around:
        return _bare(scenario.sources[max(around, key=len)])
    below = dict.fromkeys(_bare(source) for key, source in scenario.sources.items() if key.startswith(f"{path}."))
    return "; ".join(below)


def _bare(source: str) -> str:
    return source.strip().rstrip(".;")


def _stated(scenario: Scenario, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What is stated, and the path of its field."""
    control = spoken(scenario.design.arms[0])
    for name in names:
        analysis = scenario.analyses[name]
        place, what = f"endpoints.{analysis.endpoint}", spoken_endpoint(scenario, analysis.endpoint)
        yield from _effect(scenario, analysis.endpoint, arm_of(scenario, analysis))
        endpoint = scenario.endpoints[analysis.endpoint]
        if isinstance(endpoint, SymptomScale):
            yield f"change of {what} under {control}", f"{place}.control_course.change"
            yield f"SD of {what}", f"{place}.control_course.score_sd"
            yield f"{what} at baseline", f"{place}.baseline"
            yield f"correlation of {what} over visits", f"{place}.correlation"
        elif isinstance(endpoint, Continuous):
            yield f"SD of {what}", f"{place}.sd"
            if endpoint.baseline is not None:
                yield f"{what} at baseline", f"{place}.baseline"
        elif isinstance(endpoint, Binary | AdverseEvent):
            yield f"risk of {what} under {control}", f"{place}.control_risk"
    yield from ((spoken(name), f"departures.{name}") for name in scenario.departures)
    if scenario.population is not None:
        yield "patients", "population"
    if scenario.eligibility:
        yield "eligibility", "eligibility"
    for name, assay in scenario.assays.items():
        if getattr(assay, "within_person_sd", None) is not None:
            yield f"within-person SD of {spoken_assay(name)}", f"assays.{name}.within_person_sd"


def _effect(scenario: Scenario, endpoint: str, arm: str) -> Iterator[tuple[str, str]]:
    declared, what = scenario.endpoints[endpoint], f"effect of {spoken(arm)} on {spoken_endpoint(scenario, endpoint)}"
    if isinstance(declared, AdverseEvent) and arm in declared.arm_risk:
        yield what, f"endpoints.{endpoint}.arm_risk.{arm}"
    elif arm in declared.effects:
        yield what, f"endpoints.{endpoint}.effects.{arm}"
