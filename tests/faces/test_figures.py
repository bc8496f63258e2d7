"""The contract of every figure: nothing overlaps, nothing is cut, the same bits each time, nobody's settings are touched."""

import re
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from faces import runs
from faces.figure_check import untidy
from matplotlib.figure import Figure

from simtrials.core.errors import SimtrialsError
from simtrials.report import look
from simtrials.report.figures import FIGURES, draw, drawn
from simtrials.report.figures.biomarker import merged
from simtrials.report.figures.canvas import apart, image, text_width, wrapped

EVERY_RUN = ("questions", "crowded", "plain", "three_arms", "departing", "failing")


def drawings(found):
    return {name: drawing for kind in FIGURES.values() for name, drawing in kind.drawings(found).items()}


@pytest.mark.parametrize(("name", "n_replicates"), [*((name, 256) for name in EVERY_RUN), *((name, 100_000) for name in EVERY_RUN[:4])])
def test_every_figure_is_tidy(request, name, n_replicates):
    found = request.getfixturevalue(name)
    found = found if n_replicates == 256 else runs.repeated(found, n_replicates)
    for figure_name, drawing in drawings(found).items():
        assert untidy(drawn(drawing)) == [], figure_name


def test_the_check_of_figures_sees_what_it_should():
    figure = Figure(figsize=(3, 2))
    matplotlib.backends.backend_agg.FigureCanvasAgg(figure)
    axes = figure.add_axes((0.2, 0.2, 0.7, 0.7))
    axes.plot([0.5, 2.0], [0.5, 0.5])
    axes.set_xlim(0, 1)
    figure.text(0.5, 0.5, "one text"), figure.text(0.52, 0.5, "another text"), figure.text(0.95, 0.9, "a text that leaves the page")
    found = " ".join(untidy(figure))
    assert "overlap: 'one text' and 'another text'" in found
    assert "off the page: 'a text that leaves the page'" in found
    assert "1 data points beyond the axes" in found


def test_figures_are_offered_where_they_apply(questions, plain, three_arms):
    names = {name: set(drawings(found)) for name, found in (("questions", questions), ("plain", plain), ("three", three_arms))}
    assert names["questions"] >= {"power", "biomarker-crp", "effect-symptoms", "course-symptoms", "estimates-severity", "flow"}
    assert names["plain"] == {"power", "estimates-relief", "estimates-pain", "estimates-nausea"}
    assert "flow" not in names["three"]
    for kind in ("biomarker", "effect", "course", "flow"):
        assert not FIGURES[kind].applies(plain)
        with pytest.raises(SimtrialsError, match="does not apply"):
            draw(plain, kind)


def test_every_figure_has_title_gray_line_sentence_and_numbers(questions):
    for name, drawing in drawings(questions).items():
        title, note, *_ = drawn(drawing).texts
        assert (title.get_weight(), title.get_fontsize()) == ("bold", look.TITLE_PT), name
        assert (note.get_color(), note.get_fontsize()) == (look.SECONDARY, look.NOTE_PT), name
        assert drawing.sentence.endswith(".")
        head, *rows = drawing.table()
        assert rows
        assert all(len(row) == len(head) for row in rows)


def test_no_text_is_smaller_than_the_smallest_size_and_none_is_colored(crowded):
    from matplotlib.text import Text

    for name, drawing in drawings(crowded).items():
        for text in drawn(drawing).findobj(Text):
            if text.get_text().strip():
                assert text.get_fontsize() >= look.SMALLEST_PT, (name, text)
                assert text.get_color() in (look.INK, look.SECONDARY), (name, text)


def test_colors_are_named_in_one_place_only():
    report = Path(look.__file__).parent
    files = [path for form in ("*.py", "*.j2") for path in report.rglob(form) if path.name != "look.py"]
    assert not [path.name for path in files if re.search(r"#[0-9A-Fa-f]{6}\b", path.read_text(encoding="utf-8"))]


def test_no_figure_has_a_legend_or_a_grid(questions):
    for drawing in drawings(questions).values():
        for axes in drawn(drawing).axes:
            assert axes.get_legend() is None
            assert not any(line.get_visible() for axis in (axes.xaxis, axes.yaxis) for line in axis.get_gridlines())


@pytest.mark.parametrize("form", ["svg", "png"])
def test_the_same_bits_each_time_whatever_the_readers_settings(questions, form):
    found = drawings(questions)
    names = found if form == "svg" else ("power", "course-symptoms")
    first = {name: image(drawn(found[name]), form) for name in names}
    with matplotlib.rc_context({"font.size": 20, "axes.grid": True, "svg.fonttype": "none", "axes.facecolor": "black"}):
        again = {name: image(drawn(drawings(questions)[name]), form) for name in names}
    assert first == again


def test_settings_are_left_as_they_were(questions):
    before = dict(matplotlib.rcParams)
    draw(questions, "power")
    assert dict(matplotlib.rcParams) == before


def test_svg_has_text_as_paths_and_no_date(questions):
    text = image(draw(questions, "power"), "svg").decode()
    assert "<text" not in text
    assert "<dc:date>" not in text


def test_a_figure_is_saved_in_the_form_of_its_name(questions, tmp_path):
    for name, start in (("power.svg", b"<?xml"), ("course.png", b"\x89PNG")):
        questions.plot(name.partition(".")[0], tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)
    assert {path.name for path in tmp_path.iterdir()} == {"power.svg", "course.png"}


def test_png_has_300_dots_per_inch(questions):
    width = int.from_bytes(image(draw(questions, "power"), "png")[16:20], "big")
    assert width == int(look.WIDE_MM / 25.4 * 300)


def test_an_unknown_figure_names_the_nearest(questions):
    with pytest.raises(SimtrialsError, match="did you mean 'power'"):
        draw(questions, "pwoer")
    with pytest.raises(SimtrialsError, match="did you mean 'estimates-severity'"):
        draw(questions, "estimates-severty")


def test_estimates_are_counted_bin_by_bin_and_none_is_lost(questions):
    for name, drawing in FIGURES["estimates"].gather(questions).items():
        estimates = questions.estimates()
        estimates = estimates[(estimates.analysis == name) & (estimates.status == 0)]
        histogram = drawing.histogram
        assert histogram.all.sum() + sum(histogram.beyond) == len(estimates)
        assert histogram.benefit.sum() == estimates.benefit.sum()
        assert (histogram.benefit.sum() + histogram.harm.sum()) == estimates.rejected.sum()
        assert histogram.edges[0] < drawing.truth.value < histogram.edges[-1]


def test_bins_of_a_risk_difference_follow_its_steps(plain):
    edges = FIGURES["estimates"].gather(plain)["relief"].histogram.edges
    steps = edges * 30
    assert np.allclose(steps - np.floor(steps), 0.5)


def test_memory_of_the_histograms_does_not_grow(questions):
    small = FIGURES["estimates"].gather(questions)["severity"].histogram
    large = FIGURES["estimates"].gather(runs.repeated(questions, 100_000))["severity"].histogram
    assert abs(large.all.size - small.all.size) <= 4
    assert large.all.sum() + sum(large.beyond) == 100_000


def test_biomarker_counts_add_up_to_1000_and_bins_end_at_the_rules(questions):
    drawing = FIGURES["biomarker"].gather(questions)["crp"]
    counts = [int(words.partition(" ")[0]) for _, words in drawing.counts()]
    assert sum(counts) == 1_000
    assert counts[1] == round(1_000 * questions.portrait["pass_rate"])
    assert {1.95, 10.05} <= set(merged(drawing.edges, drawing._drawn_rules()))


def test_merged_bins_keep_ends_and_are_some_of_the_finer_ones():
    edges = np.geomspace(0.1, 100, 60)
    coarse = merged(edges, (float(edges[20]),))
    assert {edges[0], edges[20], edges[-1]} <= set(coarse) <= set(edges)
    assert np.diff(np.log(coarse)).min() > 0.3


def test_labels_side_by_side_do_not_touch():
    placed = apart([10.0, 11.0, 50.0], [8.0, 8.0, 8.0], 0.0, 60.0, 2.0)
    assert all(b - a >= 10.0 - 1e-9 for a, b in pairwise(placed))
    assert apart([59.0], [8.0], 0.0, 60.0) == [56.0]


@pytest.mark.parametrize("text", ["one two three four five six", "averyveryverylongwordwithoutanyspaceinit", ""])
def test_wrapped_lines_fit_and_lose_nothing(text):
    lines = wrapped(text, 20.0)
    assert all(text_width(line) <= 20.0 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert wrapped("one two three four five six seven eight", 20.0, most=2)[-1].endswith("…")
