"""Faces of planning: figures are tidy, the terminal keeps within 80 columns."""

import pytest
from contracts.test_planning import NORMAL, TRIAL, trial
from faces.figure_check import untidy

from simtrials.planning.assurance import assurance
from simtrials.planning.power_curve import power_curve
from simtrials.planning.sample_size import sample_size
from simtrials.report.figures import drawn
from simtrials.report.planning.figures import assurance_drawing, curve_drawing, size_drawing
from simtrials.report.planning.text import field_in_words

MANY = TRIAL["analyses"] | {
    f"other_{i}": {"kind": "t_test", "endpoint": "score", "alpha": 0.01 * (i + 1), "label": f"a test with a name that is far too long, number {i}"}
    for i in range(4)
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One of each question, with few and with many analyses."""
    out = tmp_path_factory.mktemp("planned")
    return {
        "curve": power_curve(trial(), {"design.n_patients": [40, 80, 120]}, analyses=["t_test"], n_jobs=1, out=out),
        "many": power_curve(trial(analyses=MANY), {"endpoints.score.effects.active.points": [0.0, 0.5, 1.0]}, n_jobs=1, out=out),
        "size": sample_size(trial(analyses=MANY), "other_0", n_jobs=1, out=out),
        "assurance": assurance(trial(analyses=MANY, priors=NORMAL), n_draws=20, n_jobs=1, out=out),
    }


DRAWINGS = {"curve": curve_drawing, "many": curve_drawing, "size": size_drawing, "assurance": assurance_drawing}


@pytest.mark.parametrize("name", DRAWINGS)
def test_figures_are_tidy_and_have_their_numbers(made, name):
    drawing = DRAWINGS[name](made[name])
    assert untidy(drawn(drawing)) == []
    head, *rows = drawing.table()
    assert rows
    assert all(len(row) == len(head) for row in rows)
    assert drawing.sentence.endswith(".")


@pytest.mark.parametrize("name", ["curve", "many", "size", "assurance"])
def test_the_terminal_keeps_within_80_columns(made, name):
    text = made[name].summary()
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "95%" in text


@pytest.mark.parametrize(
    ("path", "words"),
    [("design.n_patients", "patients"), ("true_effects.tau.madrs", "tau madrs"), ("eligibility.0.at_least", "eligibility at least")],
)
def test_fields_are_named_by_the_end_of_their_path(path, words):
    assert field_in_words(path) == words
