"""Contours of power and the fitted line of a power curve: right between the points, tidy with many of them, honest where the line does not fit."""

import numpy as np
import pytest
from contracts.test_planning import trial
from faces.figure_check import untidy, visible_texts
from scipy.special import ndtr, ndtri

from simtrials.core.errors import SimtrialsError
from simtrials.planning.points import Share
from simtrials.planning.power_curve import CurvePoint, PowerCurve, power_curve
from simtrials.report.figures import drawn
from simtrials.report.planning.contours import Field, between, contour_drawing, has_contours, power_in_words
from simtrials.report.planning.figures import curve_drawing
from simtrials.report.planning.fitted import fitted
from simtrials.report.planning.labels import axis_label

PATIENTS, EFFECT = "design.n_patients", "endpoints.score.effects.active.points"
LONG = "an analysis with a name that is far too long to stand above a panel without being cut off somewhere"


def z_power(n, effect):
    """Power of a one-sided z test of n patients, half in each arm."""
    return ndtr(effect * np.sqrt(n) / 2 - 1.96)


def counted(power, of=10_000):
    return Share(round(power * of), of)


def grid(over, n_analyses=1, power=z_power, **changes):
    """A power curve over two fields whose shares are those of a z test."""
    names = tuple(f"one_{i}" for i in range(n_analyses))
    analyses = {name: {"kind": "t_test", "endpoint": "score", "alpha": 0.01 * (i + 1), "label": f"{LONG} {i}"} for i, name in enumerate(names)}
    scenario = trial(analyses=analyses, **changes)
    first, second = over
    points = []
    for a in over[first]:
        for b in over[second]:
            n, effect = (a, b) if first == PATIENTS else (b, a)
            points.append(CurvePoint((a, b), dict.fromkeys(names, counted(power(n, effect))), {}))
    return PowerCurve(scenario, {path: tuple(values) for path, values in over.items()}, names, tuple(points))


def test_between_points_power_is_that_of_a_z_test_where_that_is_the_truth():
    n, effects = (40, 100, 260), (0.1, 0.3, 0.6)
    x, y = Field(PATIENTS, "n", n, None, 0), Field(EFFECT, "effect", effects, None, None)
    probits = np.array([[ndtri(z_power(a, b)) for b in effects] for a in n])
    at_n, at_effect = np.array([40.0, 77.0, 100.0, 180.0, 260.0]), np.array([0.1, 0.2, 0.45, 0.6])
    exact = z_power(at_n[:, np.newaxis], at_effect)
    np.testing.assert_allclose(ndtr(between(probits, x, y, at_n, at_effect)), exact, atol=1e-12)
    linear = Field(PATIENTS, "n", n, None, None)
    assert np.abs(ndtr(between(probits, linear, y, at_n, at_effect)) - exact).max() > 0.01, "linear in n itself would have been seen"


OVERS = {
    "few": {PATIENTS: [40, 120, 260], EFFECT: [0.2, 0.4, 0.6]},
    "swapped and unordered": {EFFECT: [0.6, 0.2, 0.4], PATIENTS: [260, 40, 120, 80]},
    "many": {PATIENTS: list(range(20, 420, 40)), EFFECT: [round(0.05 * i, 2) for i in range(1, 11)]},
    "apart by very little": {PATIENTS: [40, 44, 48, 400], EFFECT: [0.2, 0.201, 0.6]},
}


@pytest.mark.parametrize(("name", "n_analyses"), [*((name, 1) for name in OVERS), ("many", 6)])
def test_contours_are_tidy_and_have_their_numbers(name, n_analyses):
    drawing = contour_drawing(grid(OVERS[name], n_analyses))
    figure = drawn(drawing)
    assert untidy(figure) == []
    head, *rows = drawing.table()
    size = len(OVERS[name][PATIENTS]) * len(OVERS[name][EFFECT])
    assert len(rows) == min(n_analyses, 4) * size
    assert all(len(row) == len(head) for row in rows)
    for _, n, effect, power, *_ in rows:
        assert float(power) == round(z_power(float(n), float(effect)) * 10_000) / 10_000
    texts = [words for words, _ in visible_texts(figure)]
    assert drawing.sentence.endswith(".")
    assert all(texts.count(line) == len(drawing.panels) for line in ("50%", "80%", "90%"))
    assert ("2 more analyses are in the table." in drawing._how_to_read()) == (n_analyses == 6)
    if name == "few":
        assert all(texts.count(power_in_words(counted(z_power(n, e)))) >= 1 for n in (40, 120, 260) for e in (0.2, 0.4, 0.6))


def test_the_lines_lie_where_power_is_what_they_say():
    figure = drawn(contour_drawing(grid(OVERS["few"])))
    (axes,) = figure.axes
    lines = [drawn_ for drawn_ in axes.collections if len(getattr(drawn_, "levels", ())) == 1]
    assert len(lines) == 3
    for line in lines:
        level = line.levels[0] / 100
        corners = np.concatenate([path.vertices for path in line.get_paths()])
        np.testing.assert_allclose(z_power(*corners.T), level, atol=0.005)  # shares are counts of 10,000, and the lines have corners


def test_the_target_has_a_line_and_so_has_the_declared_value_a_mark():
    drawing = contour_drawing(grid(OVERS["few"], target_power=0.85))
    assert drawing.levels == (0.5, 0.8, 0.85, 0.9)
    assert (drawing.x.declared, drawing.y.declared) == (40.0, 0.5)
    assert drawing.has_declared
    assert not contour_drawing(grid({PATIENTS: [60, 120, 260], EFFECT: [0.2, 0.4, 0.6]})).has_declared


def test_where_power_does_not_pass_a_level_there_is_no_line():
    figure = drawn(contour_drawing(grid(OVERS["few"], power=lambda n, effect: 0.03 + 0.0 * n * effect)))
    texts = [words for words, _ in visible_texts(figure)]
    assert not {"50%", "80%", "90%"} & set(texts)
    assert texts.count("3") == 9


def test_powers_are_never_nothing_or_everything_by_rounding():
    assert [power_in_words(share) for share in (Share(0, 512), Share(512, 512), Share(511, 512), Share(410, 512))] == ["<1", ">99", ">99", "80"]
    assert power_in_words(Share(0, 512, 512)) == "—"


def test_fields_without_three_numbers_keep_the_figure_that_they_had():
    assert has_contours(grid(OVERS["few"]))
    few = grid({PATIENTS: [40, 120], EFFECT: [0.2, 0.4, 0.6]})
    assert not has_contours(few)
    with pytest.raises(SimtrialsError, match=r"at least 3 values each, got design.n_patients \(2 values\)"):
        contour_drawing(few)
    with pytest.raises(SimtrialsError, match="over one field of numbers"):
        few.plot()


def test_a_curve_over_two_fields_that_is_simulated_has_contours(tmp_path):
    curve = power_curve(trial(), OVERS["few"], analyses=["t_test"], n_replicates=256, n_jobs=1, out=tmp_path)
    curve.plot(tmp_path / "contours.svg")
    assert (tmp_path / "contours.svg").stat().st_size > 10_000


# ---- the line of a power curve


def test_the_fitted_line_is_that_of_a_z_test_and_only_where_it_fits():
    n = [40, 80, 120, 200, 300]
    line = fitted(n, [counted(z_power(m, 0.4), 1_000_000) for m in n], 0)
    between_ = np.array([50.0, 100.0, 250.0])
    np.testing.assert_allclose(line(between_), z_power(between_, 0.4), atol=1e-4)
    review = fitted(n, [counted(z_power(m + 30, 0.4), 1_000_000) for m in n], 30)
    np.testing.assert_allclose(review(between_), z_power(between_ + 30, 0.4), atol=1e-4)
    assert fitted(n, [counted(min(z_power(m, 0.4), 0.55)) for m in n], 0) is None, "a plateau is not smoothed away"
    assert fitted(n, [counted(0.5) for _ in n], None) is None, "a field that is no number of patients"
    assert fitted(n[:2], [counted(0.5), counted(0.6)], 0) is None


def test_the_figure_says_which_line_it_has():
    def curve(path, values, power):
        points = tuple(CurvePoint((value,), {"t_test": counted(power(value))}, {}) for value in values)
        return curve_drawing(PowerCurve(trial(), {path: tuple(values)}, ("t_test",), points))

    fits = curve(PATIENTS, [40, 80, 120], lambda n: z_power(n, 0.5))
    assert "Line: fitted on the probit scale." in fits._how_to_read()
    (line,) = [line for line in drawn(fits).axes[0].lines if len(line.get_xdata()) == 200]
    x, y = line.get_data()
    np.testing.assert_allclose(y / 100, z_power(x, 0.5), atol=0.002)  # shares are counts of 10,000
    for other in (curve(PATIENTS, [40, 80, 120], lambda n: min(n / 100, 0.8)), curve(EFFECT, [0.2, 0.4, 0.6], lambda e: z_power(100, e))):
        assert "Line: from point to point." in other._how_to_read()
        assert untidy(drawn(other)) == []


LABELS = [
    (PATIENTS, "patients randomized"),
    (EFFECT, "effect of active on score (points)"),
    ("endpoints.score.sd", "SD of score (points)"),
    ("departures.lost.rate", "lost (share of patients)"),
    ("analyses.t_test.alpha", "two-sided alpha of t test"),
    ("endpoints.score.correlation", "score correlation"),
]


@pytest.mark.parametrize(("path", "label"), LABELS)
def test_axes_are_called_by_what_they_are_with_their_unit(path, label):
    assert axis_label(trial(), path) == label
