"""The document: one paragraph for each analysis and the simulation study as a table, as Markdown and as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simtrials.core.errors import SimtrialsError
from simtrials.engine.evidence.result import EvidenceRun
from simtrials.engine.result import Run
from simtrials.planning.sample_size import SampleSize
from simtrials.report.ademp import ademp
from simtrials.report.words.basis import basis_of_run, basis_of_size, chosen
from simtrials.report.words.paragraph import Paragraph, paragraph

ITEMS = "SPIRIT 2025 item 19 (2013: item 14), CONSORT 2025 item 16a (2010: item 7a)"
SCHEME = "Aims, data-generating mechanisms, estimands, methods, performance measures (Morris, White and Crowther 2019, doi 10.1002/sim.8086)"


@dataclass(frozen=True, slots=True, repr=False)
class Words:
    """Words for a protocol.

    Attributes
    ----------
    scenario, digest : what they are about
    paragraphs : sample size, one for each analysis asked about; none for bodies of evidence
    ademp : the five parts of the simulation study with their sentences; empty for a search, which is not such a study
    """

    scenario: str
    digest: str
    paragraphs: tuple[Paragraph, ...]
    ademp: Mapping[str, Sequence[str]]

    @property
    def items(self) -> str:
        """The reporting items that a paragraph answers."""
        return ITEMS

    @property
    def markdown(self) -> str:
        """All of it as Markdown."""
        blocks = [f"# Words for the protocol: {self.scenario}"]
        for one in self.paragraphs:
            blocks += [f"## Sample size: {one.title}", f"For {ITEMS}.", one.text]
            blocks += ["Sources: " + "; ".join(f"{what}: {source}" for what, source in one.sources) + "."] if one.sources else []
            blocks += [f"**Warning:** {warning}" for warning in one.warnings]
        if self.ademp:
            rows = [f"| {_cell(part)} | {'<br>'.join(_cell(line) for line in lines)} |" for part, lines in self.ademp.items()]
            blocks += ["## Simulation study (ADEMP)", f"{SCHEME}.", "\n".join(["| part | this study |", "| --- | --- |", *rows])]
        return "\n\n".join(blocks) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        sizes = [
            {
                "title": one.title,
                "analyses": list(one.analyses),
                "text": one.text,
                "sentences": one.sentences,
                "sources": dict(one.sources),
                "warnings": one.warnings,
            }
            for one in self.paragraphs
        ]
        study = {part: list(lines) for part, lines in self.ademp.items()}
        return {"scenario": self.scenario, "digest": self.digest, "sample_size": sizes, "ademp": study, "markdown": self.markdown}

    def __str__(self) -> str:
        return self.markdown

    def __repr__(self) -> str:
        return self.markdown

    def _repr_markdown_(self) -> str:
        return self.markdown


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def words_of_run(run: Run, analyses: Sequence[str] = ()) -> Words:
    """Words about a finished run: a paragraph for each analysis named, else for each primary one, else for the first of the file.

    Raises
    ------
    SimtrialsError
        When the scenario has no analysis of that name.
    """
    names, basis = chosen(run.scenario, analyses), basis_of_run(run)
    return Words(run.name, run.digest, tuple(paragraph(basis, [name]) for name in names), dict(ademp(run)))


def words_of_size(size: SampleSize) -> Words:
    """Words about the answer of a search for a sample size: one paragraph.

    Raises
    ------
    SimtrialsError
        When the search was not of a trial, or found no number.
    """
    basis = basis_of_size(size)
    return Words(size.scenario.name, basis.digest, (paragraph(basis, size.analyses),), {})


def words_of_evidence(run: EvidenceRun, analyses: Sequence[str] = ()) -> Words:
    """Words about bodies of evidence: the simulation study only.

    Raises
    ------
    SimtrialsError
        When a sample-size paragraph is asked for.
    """
    from simtrials.report.evidence.html import ademp as ademp_of_evidence

    if analyses:
        raise SimtrialsError(f"{run.name} is about bodies of evidence, which have no sample-size paragraph; leave out --analysis {analyses[0]}")
    return Words(run.name, run.digest, (), dict(ademp_of_evidence(run)))
