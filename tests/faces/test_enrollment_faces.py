"""The trade-off figure and the words beside it."""

import pytest
from contracts.test_enrollment import MARKED, marked
from faces.figure_check import untidy

from simtrials.planning.enrollment import whom_to_enroll
from simtrials.report.figures import drawn
from simtrials.report.planning.enrollment import answer_sentences, asked_in_words, shape_sentences
from simtrials.report.planning.enrollment_figure import TradeOff
from simtrials.report.planning.enrollment_page import write_enrollment

LONG = "an effect that rises with the biomarker, levels off and has a name that is far too long for its column"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("enrolled")
    asked = MARKED["enrollment"]
    harm = {"endpoints.score.effects.active": {"kind": "log_linear", "zero_at": 2.0, "harm_below": True, "points": 0.9}}
    many = asked["shapes"] | {"harm": {"label": LONG, "set": harm}}
    analyses = {f"test_{i}": {"kind": "t_test", "endpoint": "score", "alpha": 0.02 + 0.05 * i, "label": f"{LONG} {i}"} for i in range(3)}
    settings = {"n_replicates": 256, "precision": 0.1, "most": 600, "n_jobs": 1, "out": out}
    unpriced = {"costs": None, "enrollment": {key: value for key, value in asked.items() if key not in ("budget", "shapes", "designs")}}
    return {
        "three": whom_to_enroll(marked(enrollment=asked | {"shapes": many}, analyses=MARKED["analyses"] | analyses), **settings),
        "one": whom_to_enroll(marked(**unpriced), **settings),
        "samples": whom_to_enroll(marked(**unpriced, recruitment=None), over={"assays.crp.samples": [1, 2]}, **settings),
    }


@pytest.mark.parametrize("name", ["three", "one", "samples"])
def test_the_figure_is_tidy_and_has_its_numbers(made, name):
    drawing = TradeOff(made[name])
    assert untidy(drawn(drawing)) == []
    head, *rows = drawing.table()
    assert len(rows) == len(made[name].shapes) * len(made[name].values)
    assert all(len(row) == len(head) for row in rows)


@pytest.mark.parametrize("name", ["three", "one", "samples"])
def test_the_terminal_and_the_page_are_whole(made, name, tmp_path):
    text = made[name].summary()
    assert max(len(line) for line in text.splitlines()) <= 80
    page = write_enrollment(made[name], tmp_path).read_text(encoding="utf-8")
    for words in (text, page.partition("<nav")[0]):
        assert "nan" not in words.replace("nance", "")
        assert "None" not in words


def test_the_answer_names_the_value_that_is_robust(made):
    found = made["three"]
    robust = found.robust()
    sentence = answer_sentences(found)[0]
    if robust is None:
        assert "under every shape" in sentence
    else:
        assert f"{robust[0]:g} mg/L" in sentence
    assert "whichever of the" in sentence or "under every shape" in sentence


def test_what_is_near_the_best_is_said(made):
    found = made["three"]
    for shape in found.shapes:
        best = shape.best("cost")
        words = " ".join(shape_sentences(found, shape))
        if best is None:
            assert "reaches" in words
        elif len(best.near) > 1:
            assert f"from {best.near[0].value:g} to {best.near[-1].value:g} mg/L is within 5% of the least cost" in words
        else:
            assert "No other cut-off" in words


def test_fields_are_named_in_words():
    scenario = marked()
    assert asked_in_words(scenario, "eligibility.0.at_least") == ("lowest CRP admitted", "mg/L")
    assert asked_in_words(scenario, "eligibility.0.at_most") == ("highest CRP admitted", "mg/L")
    assert asked_in_words(scenario, "assays.crp.samples") == ("screening samples of CRP", "")
