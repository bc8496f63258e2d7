"""Faces of what a review could have shown: figures are tidy, the terminal keeps within 80 columns."""

import numpy as np
import pandas as pd
import pytest
from faces.figure_check import untidy

from simtrials.engine.real_studies.analyze import review
from simtrials.planning.evidence_power import evidence_power
from simtrials.report.figures import drawn
from simtrials.report.planning.evidence_power import evidence_power_drawing


def made(k, spread, ratio=False, **choices):
    yi = 0.3 + spread * np.resize([1.0, -1.0, 0.2], k)
    frame = pd.DataFrame({"study": [f"A trial with a very long name {i}" for i in range(k)], "yi": yi, "vi": np.resize([0.05, 0.2, 0.4], k)})
    effects = [1.1, 1.2, 3.0] if ratio else [0.05, 0.2, 0.9]
    return evidence_power(review(frame, measure="OR" if ratio else None, **choices), effects, n_replicates=1000)


CASES = {
    "few": {"k": 2, "spread": 0.8},
    "alike": {"k": 12, "spread": 0.0},
    "different": {"k": 40, "spread": 1.5},
    "ratio": {"k": 12, "spread": 0.4, "ratio": True},
    "common": {"k": 6, "spread": 0.1, "method": "common", "ci": "wald"},
    "one": {"k": 1, "spread": 0.0},
}


@pytest.mark.parametrize("case", CASES)
def test_the_figure_is_tidy_and_the_terminal_keeps_within_80_columns(case):
    found = made(**CASES[case])
    drawing = evidence_power_drawing(found)
    assert untidy(drawn(drawing)) == []
    head, *rows = drawing.table()
    assert rows
    assert all(len(row) == len(head) for row in rows)
    assert drawing.sentence.endswith(".")
    text = found.summary()
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "95%" in text
