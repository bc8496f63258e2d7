"""Blocks of bodies of evidence: gathered, synthesized and reduced to columns of estimates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from simtrials.core.measures import Truth
from simtrials.core.rng import Purpose, Streams
from simtrials.engine.blocks import Columns, Meaning, columns_of
from simtrials.engine.memory import keep_freed_memory
from simtrials.evidence.gather import Body, gather
from simtrials.evidence.prepare import PreparedEvidence
from simtrials.evidence.syntheses import Synthesis

STUDIES_RUN, STUDIES_PUBLISHED, STUDIES_INCLUDED, PATIENTS = "studies run", "studies published", "studies included", "patients included"
COUNTS = (STUDIES_RUN, STUDIES_PUBLISHED, STUDIES_INCLUDED, PATIENTS)
"""Columns that belong to no synthesis; no synthesis can have such a name with a slash."""


@dataclass(frozen=True, slots=True)
class EvidenceSimulation:
    """All that a worker needs to turn the number of a block into columns of estimates."""

    prepared: PreparedEvidence
    syntheses: Mapping[str, Synthesis]
    seed: int

    @property
    def analyses(self) -> Mapping[str, Synthesis]:
        """The syntheses."""
        return self.syntheses

    def body(self, block: int, keep_unseen: bool = False) -> Body:
        """The bodies of evidence of a block."""
        keep_freed_memory()
        return gather(self.prepared, Streams(self.seed, Purpose.RUN, block), keep_unseen=keep_unseen)

    def columns(self, block: int) -> Columns:
        """Estimates of a block and how many studies were behind them, (256,) each."""
        body, streams = self.body(block), Streams(self.seed, Purpose.RUN, block)
        included = body.table.included
        columns: Columns = {
            STUDIES_RUN: body.table.n_run.astype(np.int32),
            STUDIES_PUBLISHED: body.published.included.sum(axis=1).astype(np.int32),
            STUDIES_INCLUDED: included.sum(axis=1).astype(np.int32),
            PATIENTS: np.where(included, body.table.n_patients, 0.0).sum(axis=1).astype(np.int32),
        }
        for name, synthesis in self.syntheses.items():
            columns |= columns_of(name, synthesis.estimate(body.table, streams[f"syntheses.{name}"]))
        return columns

    def many(self, blocks: Sequence[int]) -> list[Columns]:
        """Several blocks, one after another."""
        return [self.columns(block) for block in blocks]

    def meanings(self) -> dict[str, Meaning]:
        """What the columns of each synthesis are."""
        table = self.body(0).table
        found = {name: one.estimate(table, np.random.default_rng(0)) for name, one in self.syntheses.items()}
        return {name: Meaning(one.scale, one.benefit) for name, one in found.items()}

    def truths(self) -> dict[str, Truth]:
        """The mean true effect that each synthesis is about, over the declared studies that it takes and over the law of true effects."""
        laws = {(one.outcome, one.where): self.prepared.law(one.outcome, one.where) for one in self.syntheses.values()}
        kind = "mean of the true effects of the studies"
        found = {}
        for name, one in self.syntheses.items():
            law = laws[one.outcome, one.where]
            unknown = Truth(np.nan, np.nan, "not an estimate of the mean effect")
            found[name] = Truth(law.mean, law.error, kind) if one.estimates_the_mean else unknown
        return found
