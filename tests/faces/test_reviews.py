"""Forest and funnel plots, and what the terminal says of a review."""

import numpy as np
import pandas as pd
import pytest
from faces.figure_check import untidy
from matplotlib.text import Text

from simtrials.engine.real_studies.analyze import review
from simtrials.report import look
from simtrials.report.effects import Effect
from simtrials.report.figures import drawn
from simtrials.report.figures.canvas import image
from simtrials.report.figures.forest import Forest, Mean, Section, axis_limits
from simtrials.report.figures.funnel import Funnel
from simtrials.report.figures.real_studies import draw, forest_of, funnel_of
from simtrials.report.real_studies import effect_of, finding

DIFFERENCE = Effect("Hedges g", False, "favors placebo", "favors the drug")
RATIO = Effect("odds ratio", True, "fewer serious adverse events with the drug", "more with the drug")
LONG = "A trial of an antibody against interleukin-6 added to the usual antidepressant in outpatients with raised C-reactive protein, part"


def simulated(k, effect, long, scale, tau, seed=1):
    """Both figures of k simulated studies, some of them unpublished."""
    rng = np.random.default_rng(seed)
    vi = scale * rng.uniform(0.06, 1.5, k)
    yi = 0.3 + tau * rng.normal(size=k) + np.sqrt(vi) * rng.normal(size=k)
    weight = 1 / (vi + tau**2)
    mean, error = (weight * yi).sum() / weight.sum(), weight.sum() ** -0.5
    names = [f"{LONG if long else 'Trial'} {i + 1}" for i in range(k)]
    arms = {"Drug, n/N": ["1,000/12,000" if long else "3/30"] * k, "Placebo, n/N": ["3/31"] * k}
    half = [Section("cytokine inhibitors", range(k // 2), Mean("Mean, few trials", mean, mean - 30 * error, mean + 30 * error))]
    sections = [*half, Section(LONG if long else "other", range(k // 2, k))] if k > 3 else ()
    note = f"{k} trials, 12,000 patients; REML, Hartung-Knapp, not below 1; tau² 0.01 (0.00 to 0.52), I² 14%."
    new = Mean("New trial (95% PI)", mean, mean - 2 * tau - 2 * error, mean + 2 * tau + 2 * error)
    mark = Mean("Mean", mean, mean - 2 * error, mean + 2 * error)
    forest = Forest("Response, simulated", names, arms, yi, vi, weight / weight.sum(), effect, note, "A sentence.", mark, new, sections)
    return forest, Funnel("Response, simulated", yi, vi, effect, "A sentence.", mean, rng.uniform(size=k) < 0.7)


@pytest.mark.parametrize("k", [1, 2, 3, 12, 60])
@pytest.mark.parametrize("effect", [DIFFERENCE, RATIO], ids=["difference", "ratio"])
@pytest.mark.parametrize("long", [False, True], ids=["short names", "long names"])
def test_forest_and_funnel_are_tidy(k, effect, long):
    for scale, tau in ((0.05, 0.05), (0.3, 3.0), (3.0, 0.5)):
        for figure in simulated(k, effect, long, scale, tau):
            assert untidy(drawn(figure)) == [], (type(figure).__name__, scale, tau)


ASKED = {
    "response": ("trials", "response", {}),
    "by class": ("trials", "response", {"by": "drug_class", "moderators": "weeks", "also": "all", "leave_one_out": True}),
    "two": ("trials", "severity", {"by": "raised: crp_rule == 'CRP>=3 mg/L'"}),
    "one": ("trials", "response", {"where": "sample_id == 'insight'"}),
    "split": ("trials", "response", {"shared_control": "split"}),
    "dropout": ("trials", "dropout", {"measure": "RD"}),
    "common": ("trials", "remission", {"method": "common", "ci": "wald"}),
    "equal": (pd.DataFrame({"yi": [-0.4] * 4, "vi": [0.1, 0.2, 0.05, 0.3], "study": list("abcd")}), None, {"benefit": "lower"}),
}


@pytest.fixture(scope="module", params=ASKED)
def found(request):
    data, outcome, given = ASKED[request.param]
    return review(data, outcome, **given)


def test_figures_of_real_studies_are_tidy(found):
    for name in ("forest", "funnel"):
        figure = draw(found, name)
        assert untidy(figure) == []
        for text in figure.findobj(Text):
            if text.get_text().strip():
                assert text.get_fontsize() >= look.SMALLEST_PT
                assert text.get_color() in (look.INK, look.SECONDARY)
        title, note, *_ = figure.texts
        assert (title.get_weight(), note.get_color()) == ("bold", look.SECONDARY)


def test_text_keeps_to_its_width_and_names_every_study(found):
    text = found.summary()
    assert max(len(line) for line in text.splitlines()) <= look.TERMINAL_COLUMNS
    words = " ".join(text.split())
    assert "(95% CI)" in words
    assert "nan" not in words.lower().split()
    assert all(study.name.split()[0] in words for study in found.studies)
    assert finding(found, effect_of(found)) in words


def test_figures_have_numbers_and_a_sentence(found):
    for figure in (forest_of(found), funnel_of(found)):
        head, *rows = figure.table()
        assert len(rows) >= len(found.studies)
        assert all(len(row) == len(head) for row in rows)
        assert figure.sentence.endswith(".")


@pytest.mark.parametrize("form", ["svg", "png"])
def test_the_same_bits_each_time(form):
    one = review("trials", "response")
    for name in ("forest", "funnel"):
        assert image(draw(one, name), form) == image(draw(review("trials", "response"), name), form)


def test_an_interval_beyond_the_axis_has_an_arrow_and_its_numbers():
    forest = Forest(
        "t", ["a", "b", "c"], {}, np.array([0.1, 0.2, 0.3]), np.array([0.01, 0.01, 4.0]), np.array([0.5, 0.499, 0.001]), DIFFERENCE, "", "S."
    )
    _, high = axis_limits(forest)
    assert forest.upper[2] > high > forest.upper[1]
    figure = drawn(forest)
    markers = [line.get_marker() for axes in figure.axes for line in axes.lines]
    assert markers.count("<") == markers.count(">") == 1
    assert "0.30 (−3.62 to 4.22)" in [text.get_text() for text in figure.texts]


def test_areas_of_squares_are_weights():
    forest, _ = simulated(12, DIFFERENCE, False, 0.3, 0.3)
    squares = [line.get_markersize() for axes in drawn(forest).axes for line in axes.lines if line.get_marker() == "s"]
    area = np.array(squares) ** 2
    np.testing.assert_allclose(area / area.sum(), forest.weights, rtol=1e-9)


def test_unpublished_studies_are_hollow():
    _, funnel = simulated(60, DIFFERENCE, False, 0.3, 0.3)
    seen, hidden = (line for axes in drawn(funnel).axes for line in axes.lines if line.get_marker() == "o")
    assert hidden.get_markerfacecolor() == "none"
    assert (len(seen.get_xdata()), len(hidden.get_xdata())) == (funnel.published.sum(), 60 - funnel.published.sum())


def test_studies_at_the_same_place_can_be_told_from_one():
    funnel = funnel_of(review("trials", "remission"))
    assert len(set(zip(funnel.yi, funnel.vi, strict=True))) == 4
    marks = [line for axes in drawn(funnel).axes for line in axes.lines if line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in marks] == [5, 1]
    assert "Ring: another study at the same place." in " ".join(text.get_text() for text in drawn(funnel).texts)


SENTENCES = {
    "Mean above zero; a new trial's true effect may be below zero.": ([0.2, 0.9, 0.5, 0.8, 0.3, 0.7], 0.02, {}),
    "Mean below zero; a new trial's true effect may be above zero.": ([-0.2, -0.9, -0.5, -0.8, -0.3, -0.7], 0.02, {}),
    "Mean may lie on either side of zero: neither benefit nor harm is shown.": ([0.5, -0.5, 0.2, -0.3], 0.05, {}),
    "Mean above zero; a new trial's true effect is expected there too.": ([0.8, 1.0, 1.2, 1.1, 0.9], 0.005, {}),
    "Mean above zero; tau is estimated as 0 and may be": ([0.5, 0.51, 0.49, 0.5], 0.1, {}),
    "Mean above 1; a new trial's true effect is expected there too.": ([0.8, 1.0, 1.2, 1.1, 0.9], 0.005, {"measure": "RR"}),
    "All trials agree exactly, so that the Hartung-Knapp interval has no width": ([0.5, 0.5, 0.5], 0.1, {}),
    "One trial, its own estimate; effect above zero.": ([0.9], 0.1, {}),
    "Mean above zero.": ([0.5, 0.9], 0.02, {"method": "common", "ci": "wald"}),
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_the_finding_is_said_in_a_sentence(sentence):
    yi, vi, given = SENTENCES[sentence]
    made = review(pd.DataFrame({"yi": yi, "vi": vi}), **given)
    assert finding(made, effect_of(made)).startswith(sentence)


def test_effects_are_printed_as_readers_expect():
    assert RATIO.interval(0.0, -0.1, 0.1) == "1.00 (0.90 to 1.11)"
    assert RATIO.limits(-9.0, 9.0) == "<0.01 to >1,000"
    assert DIFFERENCE.interval(-0.3, float("nan"), 1.0) == "−0.30"
    assert DIFFERENCE.text(float("nan")) == "—"
