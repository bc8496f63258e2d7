"""Figures and texts of what was fitted to real data: a population and a course."""

from dataclasses import replace

import pytest
from faces.figure_check import untidy

import simtrials
from simtrials.report import look
from simtrials.report.figures import course_fit


@pytest.fixture(scope="module")
def fit():
    return simtrials.fit_course("antidepressant_trial", score="hamd17", baseline="hamd17_baseline", scale="HAM-D17", week="visit", weeks=(1, 2, 4, 6))


def long_names(fit):
    names = {"placebo": "placebo added to the usual antidepressant", "drug": "an antibody against interleukin-6, 50 mg every four weeks"}
    compared = tuple(replace(row, arm=names.get(row.arm, row.arm)) for row in fit.compared)
    arms = {names[arm]: n for arm, n in fit.arms.items()}
    return replace(fit, arms=arms, compared=compared, source="a_trial_with_a_very_long_name_of_its_file_2019_final_version.csv")


def one_visit(fit):
    compared = tuple(row for row in fit.compared if row.week in (0.0, 6.0) and row.other in (None, 0.0))
    return replace(fit, weeks=(6.0,), compared=compared)


def one_arm(fit):
    compared = tuple(row for row in fit.compared if row.arm in ("", "placebo"))
    return replace(fit, arms={"placebo": 88}, compared=compared)


@pytest.mark.parametrize("change", [lambda fit: fit, long_names, one_visit, one_arm], ids=["plain", "long names", "one visit", "one arm"])
def test_the_figure_of_a_course_is_tidy(fit, change):
    assert untidy(course_fit.draw(change(fit))) == []


def test_the_figure_of_a_course_has_the_same_bits_each_time(fit):
    assert course_fit.image(fit, "svg") == course_fit.image(fit, "svg")


def test_the_text_of_a_course_keeps_to_its_width_and_tells_what_was_found(fit):
    text = long_names(fit).summary()
    assert max(len(line) for line in text.splitlines()) <= look.TERMINAL_COLUMNS
    assert "Loss depends on the course: log odds +0.074 (SE 0.028)" in " ".join(text.split())
    assert "correlation" in text


def test_the_text_of_analyses_keeps_to_its_width():
    kinds = [
        "mmrm",
        {"kind": "mann_whitney", "label": "a label that is much longer than anybody would think of writing into a table of results"},
        {"kind": "risk_ratio", "outcome": "response", "where": "sex == 'female'"},
        {"kind": "bayesian_risks", "outcome": "remission", "missing": "non_response"},
        {"kind": "mmrm", "covariates": ["site"]},
    ]
    found = simtrials.analyze(
        "antidepressant_trial", kinds, score="hamd17", baseline="hamd17_baseline", scale="HAM-D17", week="visit", weeks=(1, 2, 4, 6)
    )
    text = found.summary()
    assert max(len(line) for line in text.splitlines()) <= look.TERMINAL_COLUMNS
    words = " ".join(text.split())
    assert "response, week 6" in words
    assert "missing = failure" in words
    assert len(found.to_frame()) == 5
