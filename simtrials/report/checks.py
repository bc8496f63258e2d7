"""What a scenario amounts to before it is run: whom it enrols, how large the effects are and for whom, what response and remission follow."""

from collections.abc import Mapping, Sequence
from typing import Any

from simtrials.engine.scenario import Scenario
from simtrials.report import numbers
from simtrials.report.assumed import benefit_unit, biomarker_of, effects_of, shape_in_words, size_in_words, smd_in_words
from simtrials.report.departures import departure_rows, other_departures
from simtrials.report.names import domain_of, rule_in_words, spoken, spoken_assay, spoken_column, spoken_endpoint, week_words
from simtrials.report.sentences import measured_sentence, screening_sentence
from simtrials.report.text import INDENT, aligned, head, paragraph
from simtrials.trial.endpoints import AdverseEvent, Endpoint

Portrait = Mapping[str, Any]


def check_text(scenario: Scenario, portrait: Portrait, seconds: float | None = None) -> str:
    """The text of `simtrials check`; `seconds` is what the run is expected to take."""
    blocks = [head(scenario), _enrolled(scenario, portrait), _people(portrait)]
    blocks += [_endpoint(scenario, portrait, name) for name in scenario.endpoints]
    blocks += [_table(table, 1) for table in tenths(scenario, portrait)]
    blocks += [_departures(scenario, portrait)]
    blocks += [paragraph(f"{note}.", INDENT) for note in portrait["notes"]]
    if seconds is not None:
        blocks.append(f"{INDENT}{numbers.whole(scenario.n_replicates)} simulated trials need about {numbers.duration(seconds)}.")
    return "\n".join(block for block in blocks if block)


def _table(rows: list[tuple[str, ...]], first_number: int) -> str:
    columns = range(len(rows[0]))
    widest_first = sorted(columns, key=lambda i: -max(len(row[i]) for row in rows))
    return aligned(rows, right=tuple(columns)[first_number:], flexible=tuple(widest_first))


def _enrolled(scenario: Scenario, portrait: Portrait) -> str:
    if not scenario.eligibility:
        return paragraph("Everybody who is screened is enrolled.", INDENT)
    rate = portrait["pass_rate"]
    rules = "; ".join(rule_in_words(scenario, rule) for rule in scenario.eligibility)
    said = f"{screening_sentence(portrait)} Screened per enrolled {numbers.fixed(1 / rate, 1)}. Not enrolled: {rules}."
    measured = [measured_sentence(portrait, assay) for assay in portrait["assays"]]
    return "\n".join(paragraph(line, INDENT) for line in (said, *measured) if line)


def people_rows(portrait: Portrait) -> list[tuple[str, str, str]]:
    """Who is enrolled against who is screened: biomarkers and covariates, mean (SD) or share."""
    rows = []
    for name, about in portrait["assays"].items():
        screened, enrolled = (_mean_sd(about[f"ln_usual_{who}"], 2) for who in ("screened", "enrolled"))
        rows.append((f"ln usual {spoken_assay(name)}, mean (SD)", screened, enrolled))
    for name, about in portrait["covariates"].items():
        if "levels" in about:
            levels = zip(about["levels"], about["screened"], about["enrolled"], strict=True)
            rows += [(f"{spoken(name)}: {level}, %", numbers.fixed(100 * a, 0), numbers.fixed(100 * b, 0)) for level, a, b in levels]
        else:
            called = f"measured {spoken_assay(name)}" if name in portrait["assays"] else spoken_column(name)
            rows.append((f"{called}, mean (SD)", _mean_sd(about["screened"], 1), _mean_sd(about["enrolled"], 1)))
    return rows


def _mean_sd(moments: Sequence[float], places: int) -> str:
    mean, sd = moments
    return f"{numbers.fixed(mean, places)} ({numbers.fixed(sd, places)})"


def _departures(scenario: Scenario, portrait: Portrait) -> str:
    """Events and who is still seen, by arm; what else departs from the plan."""
    if not scenario.departures:
        return paragraph("Nobody drops out and no visit is missed.", INDENT)
    others = other_departures(scenario, portrait)
    also = [paragraph(f"Also: {', '.join(others)}.", INDENT)] if others else []
    return "\n".join([_table(departure_rows(scenario, portrait), 1), *also])


def _people(portrait: Portrait) -> str:
    rows = people_rows(portrait)
    return _table([("who", "screened", "enrolled"), *rows], 1) if rows else ""


def _endpoint(scenario: Scenario, portrait: Portrait, name: str) -> str:
    title, domain = spoken_endpoint(scenario, name), domain_of(scenario, name)
    about = portrait["endpoints"][name]
    blocks = [title if title == domain else f"{title} ({domain})"]
    for arm, effect in ((arm, effect) for endpoint, arm, effect in effects_of(scenario) if endpoint == name):
        blocks.append(paragraph(f"{spoken(arm)}: {effect_in_words(scenario, portrait, name, arm)};", INDENT))
        blocks.append(paragraph(f"{shape_in_words(effect, *biomarker_of(scenario, effect))}.", INDENT))
        blocks += [paragraph(line, INDENT) for line in (realised(about, arm),) if line]
    blocks += [paragraph(f"{spoken(arm)}: {size_in_words(scenario, portrait, name, arm)}.", INDENT) for arm in _risks(scenario.endpoints[name])]
    table = outcome_rows(scenario, about)
    return "\n".join([*blocks, *([_table(table, 1)] if table else [])])


def _risks(endpoint: Endpoint) -> tuple[str, ...]:
    """Arms in which an adverse event has a risk of its own."""
    return tuple(endpoint.arm_risk) if isinstance(endpoint, AdverseEvent) else ()


def effect_in_words(scenario: Scenario, portrait: Portrait, endpoint: str, arm: str) -> str:
    """`2.9 MADRS points at week 8 on average over the enrolled (SMD 0.35, SD of the change)`."""
    smd = smd_in_words(scenario, portrait, endpoint, arm)
    mean = " on average over the enrolled" if scenario.endpoints[endpoint].effects[arm].needs_biomarker else ""
    return f"{size_in_words(scenario, portrait, endpoint, arm)}{week_words(scenario, endpoint)}{mean}{f' ({smd})' if smd else ''}"


def realised(about: Mapping[str, Any], arm: str) -> str:
    """What the effect comes to once scores are whole numbers within the scale; empty for other endpoints."""
    if "g_enrolled" not in about:
        return ""
    effect, sd = about["effects"][arm], about["change_sd"]
    points, g = numbers.fixed(about["difference"][arm], 1), numbers.fixed(about["g_enrolled"][arm], 2)
    everybody = numbers.fixed(effect["mean_everybody"] / sd, 2)
    return f"As whole scores within the scale: {points} points, g {g} among the enrolled; about {everybody} in everybody who is screened."


def tenths(scenario: Scenario, portrait: Portrait) -> list[list[tuple[str, ...]]]:
    """The benefit by tenths of the biomarker among the enrolled; effects that look at the same values share a table."""
    tables: dict[tuple[float, ...], list[list[str]]] = {}
    for endpoint, arm, effect in effects_of(scenario):
        deciles = portrait["endpoints"][endpoint]["effects"][arm].get("deciles")
        if not deciles:
            continue
        marker, unit = biomarker_of(scenario, effect)
        place = tuple(d["from"] for d in deciles)
        first = [f"{effect.acts_on} {marker} of the enrolled, {unit}", *(numbers.between(d["from"], d["to"], 1) for d in deciles)]
        benefit, digits = benefit_unit(scenario.endpoints[endpoint])
        head_of_column = benefit + (f", {spoken(arm)}" if len(scenario.design.arms) > 2 else "")
        tables.setdefault(place, [first]).append([head_of_column, *(numbers.fixed(d["benefit"], digits) for d in deciles)])
    return [list(zip(*columns, strict=True)) for columns in tables.values()]


def outcome_rows(scenario: Scenario, about: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Response and remission by arm at the last visit, in percent, and each arm's ratio to control; empty for other endpoints."""
    control, *active = scenario.design.arms
    if "arms" not in about:
        return []
    table: list[tuple[str, ...]] = [
        ("outcome", f"{spoken(control)}, %", f"{spoken(active[0]) if len(active) == 1 else 'active'}, %", "risk ratio", "difference")
    ]
    for arm in active:
        for outcome in ("response", "remission"):
            if outcome in about["arms"][arm]:
                p, q = (float(about["arms"][which][outcome]) for which in (control, arm))
                ratio = numbers.fixed(q / p, 2) if p > 0 else numbers.DASH
                label = outcome if len(active) == 1 else f"{outcome}, {spoken(arm)}"
                table.append((label, numbers.fixed(100 * p, 1), numbers.fixed(100 * q, 1), ratio, numbers.fixed(100 * (q - p), 1)))
    return table
