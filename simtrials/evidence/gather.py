"""A whole body of evidence on one screen: studies are run, finished, published or not, reported, extracted."""

from dataclasses import dataclass, field

import numpy as np

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray
from simtrials.core.rng import BLOCK_SIZE, Streams
from simtrials.evidence.extraction import Reports
from simtrials.evidence.fidelities.base import REPORTED, SUBGROUP, Results
from simtrials.evidence.own_test import own_result
from simtrials.evidence.prepare import PreparedEvidence, study_columns
from simtrials.evidence.reporting import Finished
from simtrials.evidence.studies import Plans
from simtrials.evidence.table import ArmNumbers, Question, StudyTable
from simtrials.evidence.template import SELECTING

MOST_ATTEMPTS, MOST_TRIES = 2_000, 64
"""A place that so many rounds of studies have not filled, because none was published, stays empty; so many studies are run at once at most."""


@dataclass(slots=True)
class Shelf:
    """Studies as they are put into their places: numbers by view and outcome (R, S, 2), and labels as codes (R, S)."""

    views: dict[str, dict[str, ArmNumbers]]
    codes: dict[str, AnyArray]
    n: FloatArray
    filled: BoolArray
    n_run: FloatArray
    unseen: list[tuple[AnyArray, dict[str, ArmNumbers]]] = field(default_factory=list)

    @classmethod
    def empty(cls, prepared: PreparedEvidence, n_replicates: int) -> "Shelf":
        shape = (n_replicates, prepared.evidence.studies.n_places)
        views = {view: {name: ArmNumbers.empty(shape) for name in prepared.plan.names_in(view)} for view in prepared.plan.all_views}
        codes = {name: np.zeros(shape, dtype=np.int16) for name in ("variety", "drug_class", "role", "risk", "funder")}
        return cls(views, codes, np.full((*shape, 2), np.nan), np.zeros(shape, dtype=bool), np.zeros(n_replicates))

    def put(self, rows: AnyArray, place: int, plans: Plans, results: Results) -> None:
        """Put one study into a place of each of these bodies."""
        for view, found in results.items():
            for name, numbers in found.items():
                self.views[view][name].put((rows, place), numbers)
        for name, code in self.codes.items():
            code[rows, place] = getattr(plans, name)
        self.n[rows, place] = plans.n
        self.filled[rows, place] = True


@dataclass(frozen=True, slots=True)
class Body:
    """A block of bodies of evidence: the reviewers' table, the table of what was published, and studies that nobody saw (rows, numbers)."""

    table: StudyTable
    published: StudyTable
    unseen: tuple[tuple[AnyArray, dict[str, ArmNumbers]], ...] = ()


def gather(prepared: PreparedEvidence, streams: Streams, n_replicates: int = BLOCK_SIZE, keep_unseen: bool = False) -> Body:
    """Bodies of evidence with all their studies: run place by place, published or not, outcomes chosen, extracted by reviewers."""
    shelf = Shelf.empty(prepared, n_replicates)
    present = prepared.evidence.studies.present(streams.below("studies"), n_replicates)
    for place in range(prepared.evidence.studies.n_places):
        _fill(prepared, shelf, place, np.flatnonzero(present[:, place]), streams.below(f"studies.{place}"), keep_unseen)
    published = table = _table(prepared, shelf, _one_more(prepared, streams.below("one_more"), n_replicates))
    selecting = np.array([variety.crp_rule in SELECTING for variety in prepared.plan.varieties])
    reports = Reports({view: numbers for view, numbers in shelf.views.items() if view != REPORTED}, selecting[shelf.codes["variety"]])
    for i, step in enumerate(prepared.evidence.extraction):
        table, reports = step.extract(table, reports, streams.below(f"extraction.{i}"))
    return Body(table, published, tuple(shelf.unseen))


def _fill(prepared: PreparedEvidence, shelf: Shelf, place: int, rows: AnyArray, streams: Streams, keep_unseen: bool) -> None:
    """Run studies for one place until each body of evidence has a published one there, or one for each where the unpublished count too.

    Several are run at once for the few bodies that are still without one; those after the first that is published never took place.
    """
    reporting, outcomes = prepared.evidence.reporting, tuple(prepared.plan.outcomes)
    always = bool(prepared.evidence.studies.is_further()[place]) or not reporting.publication
    for attempt in range(MOST_ATTEMPTS):
        if rows.size == 0:
            return
        tries = 1 if attempt == 0 else min(MOST_TRIES, max(1, BLOCK_SIZE // rows.size))
        own, count = streams.below(str(attempt)), rows.size * tries
        plans = prepared.evidence.studies.plans(place, own, count, outcomes)
        true = _true_effects(prepared, plans, own)
        results = _as_reported(prepared, _results(prepared, plans, prepared.shown_effects(plans, true), own), plans, own)
        seen: BoolArray = np.ones(count, dtype=bool)
        if not always:
            seen = own["publication"].random(count) < _chance(prepared, results[REPORTED], plans)
        by_body = seen.reshape(rows.size, tries)
        first = np.where(by_body.any(axis=1), by_body.argmax(axis=1), tries)
        shelf.n_run[rows] += np.minimum(first + 1, tries)
        published, taken = np.flatnonzero(first < tries), (np.arange(rows.size) * tries + first)[first < tries]
        shelf.put(rows[published], place, plans.some(taken), _some_results(results, taken))
        if keep_unseen:
            lost = np.flatnonzero((np.arange(tries) < first[:, np.newaxis]).ravel())
            shelf.unseen.append((np.repeat(rows, tries)[lost], {name: _rows(numbers, lost) for name, numbers in results[REPORTED].items()}))
        if reporting.fill == "run":
            return
        rows = rows[first == tries]


def _true_effects(prepared: PreparedEvidence, plans: Plans, streams: Streams) -> FloatArray:
    """(m, E) true effects of studies on the endpoints."""
    return prepared.true_effects(plans, streams["true_effects"].standard_normal((len(plans.n), len(prepared.endpoints))))


def _results(prepared: PreparedEvidence, plans: Plans, shown: FloatArray, streams: Streams) -> Results:
    """Results of m studies, variety by variety."""
    results: Results = {}
    for variety, places in plans.of_variety():
        effects = {name: np.ascontiguousarray(shown[places, i]) for i, name in enumerate(prepared.endpoints)}
        if places.size == len(plans.n):
            return prepared.maker.results(variety, effects, plans.n, plans.measures, streams)
        measures = {name: measured[places] for name, measured in plans.measures.items()}
        found = prepared.maker.results(variety, effects, plans.n[places], measures, streams.below(f"variety.{variety}"))
        for view, outcomes in found.items():
            into = results.setdefault(view, {})
            for name, numbers in outcomes.items():
                into.setdefault(name, ArmNumbers.empty((len(plans.n),)))
                _put_rows(into[name], places, numbers)
    return results


def _as_reported(prepared: PreparedEvidence, results: Results, plans: Plans, streams: Streams) -> Results:
    """Without outcomes that a study does not measure, and with those that it chose by their results under the name of another."""
    nothing = ArmNumbers.empty((len(plans.n),))
    seen = {view: {name: found.where(~plans.measures[name], nothing) for name, found in outcomes.items()} for view, outcomes in results.items()}
    for i, selection in enumerate(prepared.evidence.reporting.outcomes):
        own = streams.below(f"outcomes.{i}")
        tests = [own_result(seen[REPORTED][name], prepared.measured[name]) for name in selection.among]
        tested = [
            np.where(seen[REPORTED][name].known & np.isnan(test.p_value), 1.0, test.p_value)
            for name, test in zip(selection.among, tests, strict=True)
        ]
        chosen = selection.chosen(np.stack(tested), np.stack([test.better for test in tests]), own)
        chosen = np.where(own["share"].random(chosen.shape) < selection.share, chosen, 0)
        before = {view: dict(outcomes) for view, outcomes in seen.items()}
        for view, outcomes in seen.items():
            whole = before[SUBGROUP if view.endswith(f".{SUBGROUP}") else REPORTED]
            if selection.reported in outcomes:
                reported = nothing
                for k, name in enumerate(selection.among):
                    reported = reported.where(plans.measures[selection.reported] & (chosen == k), before[view].get(name, whole[name]))
                outcomes[selection.reported] = reported
    return seen


def _some_results(results: Results, which: AnyArray) -> Results:
    return {view: {name: _rows(numbers, which) for name, numbers in outcomes.items()} for view, outcomes in results.items()}


def _put_rows(into: ArmNumbers, rows: AnyArray, found: ArmNumbers) -> None:
    into.n[rows], into.mean[rows], into.sd[rows] = found.n, found.mean, found.sd


def _rows(numbers: ArmNumbers, rows: AnyArray) -> ArmNumbers:
    return ArmNumbers(numbers.n[rows], numbers.mean[rows], numbers.sd[rows])


def _chance(prepared: PreparedEvidence, numbers: dict[str, ArmNumbers], plans: Plans) -> FloatArray:
    """(m,) probability that a study is published."""
    finished = Finished(numbers, prepared.measured, plans.funder)
    chance = np.ones(len(plans.n))
    for publication in prepared.evidence.reporting.publication:
        chance = chance * publication.probability(finished)
    return chance


def _one_more(prepared: PreparedEvidence, streams: Streams, n_replicates: int) -> dict[Question, FloatArray]:
    """(R,) the true effect of one more study of the same law, of a kind as likely as those that each synthesis takes."""
    return {question: _new_true(prepared, question, streams, n_replicates) for question in prepared.asked}


def _new_true(prepared: PreparedEvidence, question: Question, streams: Streams, n_replicates: int) -> FloatArray:
    plans = prepared.law(*question).plans
    if plans is None:
        return np.full(n_replicates, np.nan)
    drawn = plans.some((streams["plan"].random(n_replicates) * len(plans.n)).astype(np.int64))
    return prepared.in_measure(question[0], drawn, _true_effects(prepared, drawn, streams))


def _table(prepared: PreparedEvidence, shelf: Shelf, new_true: dict[Question, FloatArray]) -> StudyTable:
    studies, codes = prepared.evidence.studies, shelf.codes
    plans = Plans(n=shelf.n, measures={}, **codes)
    further = np.broadcast_to(studies.is_further().astype(np.int16), shelf.filled.shape)
    columns = study_columns(studies, plans, further)
    tau2 = {question: prepared.law(*question).variance for question in prepared.asked}
    return StudyTable(shelf.views[REPORTED], prepared.measured, columns, shelf.filled, new_true, shelf.n_run, tau2)
