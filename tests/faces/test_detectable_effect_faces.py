"""Faces of the smallest effect: figures are tidy, the terminal keeps within 80 columns."""

import pytest
from contracts.test_detectable_effect import risks
from contracts.test_planning import trial
from faces.figure_check import untidy
from faces.test_planning_faces import MANY

from simtrials.planning.detectable_effect import detectable_effect
from simtrials.report.figures import drawn
from simtrials.report.planning.detectable_effect import effect_drawing

CASES = {
    "points": (trial(analyses=MANY), "other_0"),
    "risk": (risks(risk=0.5), "score"),
    "odds ratio": (risks(odds_ratio=1.2), "score"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_figure_is_tidy_and_the_terminal_keeps_within_80_columns(case, tmp_path):
    scenario, name = CASES[case]
    found = detectable_effect(scenario, name, n_jobs=1, out=tmp_path)
    drawing = effect_drawing(found)
    assert untidy(drawn(drawing)) == []
    head, *rows = drawing.table()
    assert rows
    assert all(len(row) == len(head) for row in rows)
    assert drawing.sentence.endswith(".")
    text = found.summary()
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "95%" in text
