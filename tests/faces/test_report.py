"""The report: one file that stands alone, with all its sections, whatever happened in the run."""

import re
from dataclasses import replace
from html import escape
from html.parser import HTMLParser

import pandas as pd
import pytest
from faces import runs

from simtrials.engine.run import load
from simtrials.report import look
from simtrials.report.html import again, write_report

EVERY_RUN = ("questions", "crowded", "plain", "three_arms", "departing", "failing")
SECTIONS = ("patients", "analyses", "level", "failures", "study", "scenario", "provenance")


class Page(HTMLParser):
    """Headings, ids, references and images of a page."""

    def __init__(self, text):
        super().__init__()
        self.headings, self.ids, self.references, self.images, self.figures, self.details = [], [], [], [], 0, 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self.ids += [given["id"]] if "id" in given else []
        self.references += [given[name] for name in ("src", "href", "action", "poster", "data") if name in given]
        self.images += [given] if tag == "img" else []
        self.figures += tag == "figure"
        self.details += tag == "details"


@pytest.fixture(scope="module")
def reports(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(look, "PNG_DPI", 40)  # most of the time goes into large images
        return {name: write_report(request.getfixturevalue(name)).read_text(encoding="utf-8") for name in EVERY_RUN}


@pytest.mark.parametrize("name", EVERY_RUN)
def test_the_report_is_one_file_that_refers_to_nothing_else(reports, name):
    page = Page(reports[name])
    assert page.references
    assert all(reference.startswith(("data:image/svg+xml;base64,", "#")) for reference in page.references)
    assert "http" not in reports[name]
    assert "@import" not in reports[name]
    assert "<script" not in reports[name]


@pytest.mark.parametrize("name", EVERY_RUN)
def test_all_sections_are_there_and_headings_are_in_order(reports, name):
    page = Page(reports[name])
    assert set(SECTIONS) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in zip(page.headings, page.headings[1:], strict=False))
    links = {reference.removeprefix("#") for reference in page.references if reference.startswith("#")}
    assert links <= set(page.ids)


@pytest.mark.parametrize("name", EVERY_RUN)
def test_figures_have_a_role_a_sentence_and_their_numbers(reports, name):
    page = Page(reports[name])
    assert len(page.images) == page.figures >= 3
    assert page.details == page.figures + 1  # the numbers behind each figure, and the words for the protocol
    assert all(image["role"] == "img" and image["alt"].endswith(".") for image in page.images)


def test_the_files_beside_the_report(questions, reports):
    figures = {path.name for path in (questions.folder / "figures").iterdir()}
    assert {"power.svg", "power.png", "biomarker-crp.svg", "course-symptoms.png", "estimates-severity.svg", "flow.png"} <= figures
    assert not [path for path in questions.folder.rglob("*") if path.name.endswith(".tmp")]
    stored = pd.read_csv(questions.folder / "measures.csv", keep_default_na=False, na_values={"value": "", "mcse": ""})
    pd.testing.assert_frame_equal(stored, questions.measures(), check_dtype=False)


def test_the_same_run_gives_the_same_report(questions, reports):
    assert write_report(load(questions.folder)).read_text(encoding="utf-8") == reports["questions"]


def test_the_first_page_answers_first(reports):
    text = reports["questions"]
    order = [
        "<h1>",
        "If the drug works as assumed",
        "Shows a benefit: two-sided P",
        "Assumed</h2>",
        "Mind</h2>",
        "Run it again</h2>",
        'id="patients"',
    ]
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    assert "simtrials run small.toml" in text
    assert "sensitivity" in text.lower()
    assert "Failed: " in text or "could not be estimated" in text


def test_a_caution_precedes_the_answer_and_no_result_is_a_dash(reports):
    text = reports["failing"]
    assert text.index('<p class="caution"') < text.index('<p class="answer">')
    assert "no result, none of 256 trials could be estimated: covariates are collinear (256)." in text
    row = re.search(r"<tr><th scope=\"row\">severity by CRP &gt;= 2</th>.*?</tr>", text, re.DOTALL)
    assert row
    assert '<td class="right">—</td>' in row.group()
    assert '<p class="caution"' not in reports["questions"]


def test_failures_are_listed_by_reason_and_said_when_there_are_none(reports):
    assert "no events (or only events) in an arm" in reports["failing"]
    assert "0 failures." in reports["plain"]


def test_failures_stand_out_in_bold(reports):
    assert re.search(r"<li><strong>[^<]*could not be estimated and count as no benefit shown", reports["failing"])
    assert re.search(r"<li><strong>[^<]*no result, none of 256 trials", reports["failing"])
    assert not re.search(r"<li><strong>", reports["plain"])


def test_type_i_errors_of_every_cell_are_told(questions, reports):
    text = reports["questions"]
    assert "no effect, symptoms control course change −8" in text
    assert text.count('scope="rowgroup">no effect') == 2
    assert "were not run" in reports["three_arms"]


def test_departures_are_told_where_there_are_any(reports):
    assert "Departures from the plan" in reports["departing"]
    assert "obody drops out" not in reports["departing"]
    assert "Nobody drops out and no visit is missed." in reports["questions"]


def test_closed_forms_stand_beside_the_simulation(plain, reports):
    power = plain.record["closed_form"]["pain"]
    assert f"{100 * power['power']:.2f}" in reports["plain"]
    assert power["what"] in reports["plain"]


def test_an_interval_of_another_procedure_is_named(reports):
    assert "interval of another procedure than the test: Newcombe" in reports["three_arms"]
    assert "interval of another procedure" not in reports["plain"]


def test_names_cannot_break_the_page(folder):
    analyses = {"one": {"kind": "t_test", "endpoint": "symptoms", "label": '<b>bold</b> & "quoted" $x^2$'}}
    found = runs.made(folder, null=False, name="names", question="<script>alert(1)</script>", analyses=analyses)
    text = write_report(found).read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;b&gt;bold&lt;/b&gt; &amp;" in text


def test_a_run_from_python_says_how_to_make_it_again(questions):
    silent = replace(questions, record={**questions.record, "command": ""})
    assert again(silent) == ("simtrials run questions.toml --replicates 256", "with the scenario at the end of this page saved as questions.toml")
    assert again(questions)[0] == "simtrials run small.toml"


def test_seed_versions_checksums_and_the_stop_are_told(questions, reports):
    text = reports["questions"]
    for words in (questions.digest, "256 replicates, as asked", f"numpy {questions.record['versions']['numpy']}", "Seed"):
        assert words in text


def test_the_sample_size_paragraph_stands_in_the_report(questions, reports):
    (one,) = questions.words().paragraphs
    assert "<details><summary>Sample size: severity, ANCOVA</summary>" in reports["questions"]
    assert "covariates, covariates" not in reports["questions"]
    assert escape(one.text, quote=False) in reports["questions"]
    assert all(escape(warning, quote=False) in reports["questions"] for warning in one.warnings)
