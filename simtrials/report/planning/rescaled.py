"""What a reader must know where a field changes who is enrolled and the effect is stated as a mean over the enrolled."""

from collections.abc import Iterable

from simtrials.engine.files import Readable
from simtrials.engine.scenario import Scenario
from simtrials.report.names import spoken_endpoint
from simtrials.report.sentences import listed

WHO = ("eligibility", "assays", "population")
"""Tables whose fields change who is enrolled."""


def rescaled_note(scenario: Readable, paths: Iterable[str], analyses: Iterable[str]) -> str:
    """That the drug is another one at each value of these fields, for its mean effect is held; empty where that is not so."""
    if not isinstance(scenario, Scenario) or not any(path.replace("[", ".").partition(".")[0] in WHO for path in paths):
        return ""
    endpoints = dict.fromkeys(scenario.analyses[name].endpoint for name in analyses)
    held = [
        spoken_endpoint(scenario, name)
        for name in endpoints
        if any(effect.needs_biomarker and effect.size_name.startswith("mean_") for effect in scenario.endpoints[name].effects.values())
    ]
    if not held:
        return ""
    return (
        f"The effect on {listed(held)} is stated as a mean over those enrolled and is held at each value: the drug changes with who is enrolled. "
        "To ask whom to enroll, state its size where the shape is 1 (points)."
    )
