"""The report: one HTML file that stands alone, with its figures as SVG and PNG and all measures as CSV beside it."""

import base64
import csv
import io
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simtrials.engine.declared import SCENARIO
from simtrials.engine.result import Run
from simtrials.engine.results import Results
from simtrials.engine.store import write_whole
from simtrials.report import look, numbers, questions, tables
from simtrials.report.ademp import ademp
from simtrials.report.assumptions import Point, assumptions, minded
from simtrials.report.checks import realised
from simtrials.report.figures import FIGURES, Drawing, drawn
from simtrials.report.figures.canvas import image
from simtrials.report.names import labels_of, question_of, spoken_endpoint
from simtrials.report.rows import caution, power_rows
from simtrials.report.sentences import answer, benefit_in_words, levels_of, logistics_in_words, pattern_sentences, probabilities_of, sentence_case
from simtrials.report.text import scenario_file
from simtrials.report.toml import scenario_toml

NAME = "report.html"


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure as the report holds it: what it shows in words, the image, and the numbers behind it."""

    name: str
    sentence: str
    svg: bytes
    png: bytes
    numbers: str

    @property
    def source(self) -> str:
        """The image as text that needs no other file."""
        return f"data:image/svg+xml;base64,{base64.b64encode(self.svg).decode('ascii')}"


def write_report(run: Run) -> Path:
    """Write report.html, measures.csv and the figures into the run's folder; the path of the report."""
    drawings = {name: drawing for kind in FIGURES.values() for name, drawing in kind.drawings(run).items()}
    pictures = written(run, drawings)
    path = run.folder / NAME
    write_whole(path, report_html(run, pictures))
    return path


def written(run: Results, drawings: Mapping[str, Drawing]) -> dict[str, Picture]:
    """The figures as SVG and PNG, and all measures as CSV, written into the folder of a run; the pictures for its report."""
    pictures = {name: picture_of(name, drawing) for name, drawing in drawings.items()}
    for name, picture in pictures.items():
        write_whole(run.folder / "figures" / f"{name}.svg", picture.svg)
        write_whole(run.folder / "figures" / f"{name}.png", picture.png)
    write_whole(run.folder / "measures.csv", run.measures().to_csv(index=False))
    return pictures


def picture_of(name: str, drawing: Drawing) -> Picture:
    figure = drawn(drawing)
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(drawing.table())
    return Picture(name, drawing.sentence, image(figure, "svg"), image(figure, "png"), stream.getvalue())


def report_html(run: Run, pictures: Mapping[str, Picture]) -> str:
    """The text of the report."""
    return rendered("report.html.j2", content(run, pictures))


def rendered(template: str, shown: Mapping[str, Any]) -> str:
    """A template filled."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("simtrials.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(template).render(shown)


def content(run: Run, pictures: Mapping[str, Picture]) -> dict[str, Any]:
    """Everything that the template shows."""
    return {
        "look": look,
        "run": run,
        "title": run.scenario.question or run.scenario.name,
        "about": about_line(run),
        "pictures": pictures,
        **_first_page(run, pictures),
        **_patients(run, pictures),
        "courses": _of_kind(pictures, "course"),
        "outcome_tables": list(tables.outcome_tables(run)),
        "analyses": list(_analyses(run, pictures)),
        "power_table": tables.power_table(power_rows(run), run.scenario.target_power),
        "estimands_table": questions.estimands_table(run),
        "side_by_side_table": questions.side_by_side_table(run),
        "level_table": tables.level_table(run),
        "failures_table": tables.failures_table(run),
        "patterns_table": tables.patterns_table(run) if run.scenario.patterns else None,
        "ademp": ademp(run),
        "words": run.words(),
        "scenario_toml": scenario_toml(run.scenario),
        "provenance": provenance(run),
    }


def about_line(run: Results, noun: str = "trials") -> str:
    """Scenario, digest, replicates, date, version."""
    replicates = f"{numbers.whole(run.n_replicates)} simulated {noun}"
    return " · ".join([run.name, run.digest, replicates, run.record["started"][:10], f"simtrials {run.record['versions']['simtrials']}"])


def _first_page(run: Run, pictures: Mapping[str, Picture]) -> dict[str, Any]:
    rows = power_rows(run)
    command, hint = again(run)
    return {
        "caution": caution(rows),
        "answer": answer(run),
        "shows_a_benefit": benefit_in_words(levels_of(run.scenario), probabilities_of(run.scenario)),
        "power": pictures["power"],
        "patterns": pattern_sentences(run),
        "strips": _of_kind(pictures, "biomarker"),
        "logistics": f"A trial takes {words}." if (words := logistics_in_words(run)) else "",
        "assumptions": assumptions(run),
        "minded": [Point(sentence_case(point.words), point.strong) for point in minded(run, rows)],
        "command": command,
        "hint": hint,
    }


def again(run: Results) -> tuple[str, str]:
    """The command that makes the same numbers again, and what it needs."""
    command = str(run.record.get("command", ""))
    if shlex.split(command)[1:2] == ["run"]:
        return command, "with the same versions it gives the same numbers"
    file = scenario_file(run)
    return f"simtrials run {file} --replicates {run.n_replicates}", f"with the scenario at the end of this page saved as {file}"


def _of_kind(pictures: Mapping[str, Picture], kind: str) -> list[Picture]:
    return [picture for name, picture in pictures.items() if name.partition("-")[0] == kind]


def _patients(run: Run, pictures: Mapping[str, Picture]) -> dict[str, Any]:
    effects = [
        f"{spoken_endpoint(run.scenario, name)}: {realised(about, arm)}"
        for name, about in run.portrait["endpoints"].items()
        for arm in about["effects"]
        if realised(about, arm)
    ]
    return {
        "flow": pictures.get("flow"),
        "screening_table": tables.screening_table(run) if run.scenario.eligibility else None,
        "people_table": tables.people_table(run),
        "missing_pictures": _of_kind(pictures, "missing"),
        "departures_table": tables.departures_table(run),
        "effect_pictures": _of_kind(pictures, "effect"),
        "effects_realised": effects,
        "tenths_tables": list(tables.tenths_tables(run)),
    }


def _analyses(run: Run, pictures: Mapping[str, Picture]) -> Iterator[dict[str, Any]]:
    rows, labels = tables.rows_by_name(run), labels_of(run.scenario)
    for name in rows:
        yield {
            "name": name,
            "title": sentence_case(f"{question_of(run.scenario, name)}: {labels[name]}"),
            "estimand": sentence_case(run.estimand(name)),
            "truth": run.truths[SCENARIO][name].kind,
            "picture": pictures[f"estimates-{name}"],
            "table": tables.measures_table(run, name, rows[name]),
        }


def provenance(run: Results) -> list[tuple[str, str]]:
    """Seed, digest, how the run stopped, time, versions, data, notes."""
    record = run.record
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    rows = [("Digest", run.digest), ("Seed", str(run.seed)), ("Stopped", run.stopped), ("Started", record["started"])]
    workers = record["workers"]
    rows.append(("Time", f"{numbers.duration(record['seconds'])} with {workers} worker{'s' if workers != 1 else ''}, without what was stored before"))
    rows += [("Command", record["command"])] if record.get("command") else []
    rows.append(("Versions", versions))
    rows += [(f"Data {name}", f"SHA-256 {checksum}") for name, checksum in record["data"].items()]
    return rows + [("Note", note) for note in run.notes]
