"""Runs for the tests of the faces: real ones of a few replicates, and the same repeated so often that they look like large ones."""

from dataclasses import fields, replace

import examples
import numpy as np

from simtrials.core.measures import Tally
from simtrials.engine.files import scenario_from
from simtrials.engine.result import Run
from simtrials.engine.run import run

LONG = "a name of an analysis that goes on for so long that no table was made for it, and then a little further"
OF_SYMPTOMS = [declared for declared in examples.EXAMPLES["analyses"] if declared["endpoint"] == "symptoms"]


STORED, TIMES = 256, 64


class Repeated(Run):
    """A run whose stored replicates are read again and again until there are enough of them."""

    def shards(self, cell="scenario"):
        left = self.n_replicates
        stored = list(self.store(cell).shards(STORED))
        while left > 0:
            for columns in stored:
                size = min(left, TIMES * columns["screened"].size)
                left -= size
                yield {name: np.tile(values, TIMES)[:size] for name, values in columns.items()}
                if not left:
                    return


def repeated(small, n_replicates):
    """The run as if it had so many replicates."""
    values = {field.name: getattr(small, field.name) for field in fields(small)}
    return Repeated(**values | {"n_replicates": n_replicates, "_tallies": {}})


def made(folder, null=True, **changes):
    """A run of 256 replicates of the small example scenario with other tables; a table that is None is left out."""
    tables = {name: table for name, table in examples.scenario_tables(**changes).items() if table is not None}
    return run(scenario_from(tables), n_replicates=STORED, n_jobs=1, out=folder, null=null, command="simtrials run small.toml")


def with_counts(found, counts, **record):
    """The run with other counts in its tallies, by cell and analysis: `{"scenario": {"severity": {"n": 10_000, "n_benefit": 8_420}}}`."""
    tallies = {cell: dict(found.tallies(cell)) for cell in found.cells}
    for cell, analyses in counts.items():
        for name, values in analyses.items():
            kept = {field.name: getattr(tallies[cell][name], field.name) for field in fields(Tally)}
            finite = {"n_finite": values["n_estimable"]} if "n_estimable" in values else {}
            tallies[cell][name] = Tally(**kept | finite | values)
    return replace(found, _tallies=tallies, record={**found.record, **record})


def twelve_analyses():
    """Twelve analyses, half of them with names that are far too long."""
    analyses = {}
    for i, declared in enumerate(OF_SYMPTOMS[:12]):
        label = {"label": f"{LONG} {i}"} if i % 2 else {}
        analyses[f"{'an_analysis_with_a_long_name' if i % 2 else 'short'}_{i}"] = declared | label
    return analyses


def crowded_tables():
    """Twelve analyses, long names of arms and rules, two effects, another assay resolution, a rule besides the biomarker."""
    arms = ["a control arm with a very long name indeed", "an active arm with a very long name indeed"]
    effect = {"kind": "crossover", "points": 4.0, "zero_at": 5.0, "full_at": 10.0, "largest_harm": 0.5, "time_constant": 4.0}
    return {
        "name": "crowded",
        "question": f"What happens to {LONG}, {LONG} and {LONG}?",
        "design": {"kind": "fixed", "arms": arms, "n_patients": 40, "allocation": {"kind": "complete"}},
        "endpoints": {"symptoms": examples.SYMPTOMS | {"effects": {arms[1]: effect}}},
        "eligibility": [
            {"variable": "crp", "at_least": 2.0, "at_most": 4.0},
            {"kind": "other_reasons", "failure_probability": 0.1, "name": f"other reasons, among them {LONG}"},
        ],
        "analyses": twelve_analyses(),
        "sources": {"eligibility": LONG},
    }


def plain_tables():
    """A yes-or-no endpoint, a normal one, and no patients behind them."""
    return {
        "name": "plain",
        "population": None,
        "assays": {},
        "eligibility": [],
        "design": {"kind": "fixed", "n_patients": 60, "allocation": {"kind": "blocks", "block_size": 60}},
        "endpoints": {
            "relief": {"kind": "binary", "control_risk": 0.3, "effects": {"active": {"kind": "constant", "risk": 0.5}}},
            "pain": {"kind": "continuous", "sd": 2.0, "better": "down", "effects": {"active": {"kind": "constant", "points": 1.0}}},
            "nausea": {"kind": "adverse_event", "control_risk": 0.1, "arm_risk": {"active": 0.2}, "risk_weeks": 8.0, "exposure_weeks": 12.0},
        },
        "analyses": {
            "relief": {"kind": "risk_difference", "endpoint": "relief"},
            "pain": {"kind": "t_test", "endpoint": "pain"},
            "nausea": {"kind": "risk_ratio", "endpoint": "nausea", "correction": 0.5},
        },
    }


def three_arm_tables():
    """Three arms, a scale that improves upwards, one effect that harms."""
    scale = {"name": "WELL", "minimum": 0.0, "maximum": 100.0, "remission_cut": 60.0, "improves": "up", "domain": "well-being"}
    effects = {
        "low_dose": {"kind": "emax", "points": 6.0, "half_at": 3.0},
        "high_dose": {"kind": "log_linear", "points": -2.0, "zero_at": 1.0},
    }
    endpoint = examples.SYMPTOMS | {
        "scale": scale,
        "baseline": {"mean": 40.0, "sd": 8.0},
        "control_course": {"change": 8.0, "at_week": 8, "time_constant": 3.0, "score_sd": 10.0},
        "effects": effects,
    }
    return {
        "name": "three",
        "design": {
            "kind": "fixed",
            "arms": ["control", "low_dose", "high_dose"],
            "n_patients": 60,
            "allocation": {"kind": "blocks", "block_size": 6},
        },
        "endpoints": {"well": endpoint},
        "eligibility": [],
        "analyses": {
            "low": {"kind": "ancova", "endpoint": "well", "arm": "low_dose"},
            "high": {"kind": "ancova", "endpoint": "well", "arm": "high_dose", "one_sided_alpha": 0.01},
            "high_remits": {"kind": "fisher_exact", "endpoint": "well", "outcome": "remission", "arm": "high_dose"},
        },
    }


def failing_tables():
    """So few patients that remission has no events in many trials, and an interaction with what all have."""
    return {
        "name": "failing",
        "design": {"kind": "fixed", "n_patients": 12, "allocation": {"kind": "blocks", "block_size": 4}},
        "analyses": {
            "severity": {"kind": "ancova", "endpoint": "symptoms"},
            "constant": {"kind": "interaction", "endpoint": "symptoms", "modifier": "crp >= 2"},
            "remission": {"kind": "risk_ratio", "endpoint": "symptoms", "outcome": "remission"},
        },
    }


def departing_tables():
    """Every kind of departure from the plan at once."""
    declared = {f"{departure['kind']}": departure for departure in examples.EXAMPLES["departures"]}
    return {"name": "departing", "departures": declared, "sources": {"departures.dropout": "an earlier trial"}}


def question_tables():
    """Three questions, one of them asked twice."""
    return {
        "name": "questions",
        "question": "Can a small trial show response and remission, not only severity?",
        "analyses": {
            "severity": {"kind": "ancova", "endpoint": "symptoms"},
            "response": {"kind": "risk_difference", "endpoint": "symptoms", "outcome": "response"},
            "response_logistic": {"kind": "logistic", "endpoint": "symptoms", "outcome": "response", "covariates": ["baseline"]},
            "remission": {"kind": "risk_difference", "endpoint": "symptoms", "outcome": "remission"},
        },
        "patterns": {"only_severity": {"label": "severity shown, remission not", "shows": ["severity"], "does_not_show": ["remission"]}},
        "null_grid": {"endpoints.symptoms.control_course.change": [-8.0]},
        "sources": {"eligibility": "a review", "endpoints.symptoms.effects.active": "the same review"},
    }
