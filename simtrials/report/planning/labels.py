"""How axes over fields of a scenario are called: what the field is, with its unit."""

from simtrials.engine.evidence.scenario import EvidenceScenario
from simtrials.engine.files import Readable
from simtrials.report.names import spoken, spoken_assay

SIZES = {"points": "{unit}", "mean_points": "{unit}", "smd": "SMD", "mean_smd": "SMD", "log_odds_ratio": "log odds ratio", "odds_ratio": "odds ratio"}
"""Units of the size of an effect, by its field."""


def field_in_words(path: str) -> str:
    """`patients`, or the last two names of a path: `tau madrs`, `eligibility at least`."""
    known = {"design.n_patients": "patients", "studies.further.0.copies": "further trials"}
    names = [part for part in path.split(".") if not part.isdigit() and part != "design"]
    return known.get(path, " ".join(names[-2:]).replace("_", " "))


def field_with_unit(scenario: Readable, path: str) -> str:
    """`patients`, `effect of active on MADRS (SMD)`, `lowest CRP admitted (mg/L)`: a field as a table or a sentence names it."""
    return "patients" if path == "design.n_patients" else axis_label(scenario, path)


def axis_label(scenario: Readable, path: str) -> str:
    """`patients randomized`, `effect of active on MADRS (SMD)`, `lowest CRP admitted (mg/L)`; the end of the path where its unit is not known."""
    parts = path.split(".")
    if path == "design.n_patients":
        return "patients randomized"
    if parts[0] == "endpoints" and len(parts) > 2 and parts[1] in scenario.endpoints:
        return _of_endpoint(scenario, parts[1], parts[2:]) or field_in_words(path)
    if parts[0] == "eligibility" and not isinstance(scenario, EvidenceScenario) and len(parts) == 3 and parts[1].isdigit():
        return _of_rule(scenario.eligibility[int(parts[1])], scenario.assays, parts[2]) or field_in_words(path)
    if parts[0] == "departures" and len(parts) == 3 and parts[2] == "rate":
        return f"{spoken(parts[1])} (share of patients)"
    if parts[0] == "analyses" and parts[-1] in ("alpha", "one_sided_alpha"):
        return f"{'two' if parts[-1] == 'alpha' else 'one'}-sided alpha of {spoken(parts[1])}"
    return field_in_words(path)


def _of_endpoint(scenario: Readable, name: str, field: list[str]) -> str:
    endpoint = scenario.endpoints[name]
    called = endpoint.symptom_scale.name if endpoint.symptom_scale else spoken(name)
    if field[0] == "effects" and len(field) == 3 and field[2] in SIZES:
        return f"effect of {spoken(field[1])} on {called} ({SIZES[field[2]].format(unit=endpoint.unit)})"
    if field[0] == "effects" and len(field) == 3 and field[2] == "risk":
        return f"risk of {called} under {spoken(field[1])}"
    known = {
        "control_risk": f"risk of {called} under control",
        "sd": f"SD of {called} ({endpoint.unit})",
        "control_course.change": f"change of {called} under control ({endpoint.unit})",
        "control_course.score_sd": f"SD of {called} ({endpoint.unit})",
        "baseline.mean": f"mean {called} at baseline ({endpoint.unit})",
        "baseline.sd": f"SD of {called} at baseline ({endpoint.unit})",
    }
    return known.get(".".join(field), "")


def _of_rule(rule: object, assays: object, limit: str) -> str:
    variable = str(getattr(rule, "variable", ""))
    if not isinstance(assays, dict) or variable not in assays or limit not in ("at_least", "at_most"):
        return ""
    return f"{'lowest' if limit == 'at_least' else 'highest'} {spoken_assay(variable)} admitted ({assays[variable].unit})"
