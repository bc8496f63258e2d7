"""The tables of a report on bodies of evidence."""

from collections.abc import Iterator

import numpy as np

from simtrials.core.measures import Measure, Tally
from simtrials.engine.declared import NULL, SCENARIO
from simtrials.engine.evidence.result import EvidenceRun
from simtrials.report import numbers
from simtrials.report.evidence.rows import RATIOS, effect_in_words, labels_of, leading, power_rows, question_of, unit_of
from simtrials.report.evidence.sentences import FEWEST_SHOWN, missing_among, without_effect
from simtrials.report.look import RATIO_DIGITS
from simtrials.report.names import spoken
from simtrials.report.rows import count_of, reason_in_words
from simtrials.report.sentences import listed
from simtrials.report.tables import Table, against_nominal


def judged_table(run: EvidenceRun, cell: str = SCENARIO) -> Table:
    """Every synthesis on the same bodies of evidence: bias, error, coverage, width, failures."""
    labels, rows = labels_of(run.scenario), []
    for row in power_rows(run, cell):
        measures = {measure.name: measure for measure in run.tallies(cell)[row.name].measures()}
        unit = unit_of(run, row.name)
        cells = [_in_unit(measures.get(name), unit.digits + 1) for name in SHOWN]
        tally = run.tallies(cell)[row.name]
        covered = numbers.share_detail(tally.n_covered, tally.n_intervals) if tally.truth and tally.n_intervals else numbers.DASH
        new = measures.get("prediction_coverage")
        predicted = numbers.with_mcse(100 * new.value, 100 * new.mcse, 1) if new else numbers.DASH
        rows.append((row.question, labels[row.name], *cells, covered, predicted, numbers.whole(row.count.failed)))
    head = ("outcome", "synthesis", "bias (MCSE)", "mean squared error", "interval width", "coverage, % (MCSE)", "new trial covered, %", "failed")
    notes = [
        "Bias and coverage are against the mean of the true effects of the studies; ratios on the log scale. New trial covered: share of prediction "
        "intervals that hold the true effect of one more trial of the same law."
    ]
    return Table("Syntheses judged on the same bodies of evidence", head, rows, right=tuple(range(2, 8)), notes=notes)


SHOWN = ("bias", "mean_squared_error", "interval_width")


def _in_unit(measure: Measure | None, digits: int) -> str:
    return numbers.DASH if measure is None else numbers.with_mcse(measure.value, measure.mcse, digits)


def truth_table(run: EvidenceRun) -> Table:
    """True mean effects, mean estimates, and what significant reviews say."""
    labels, rows = labels_of(run.scenario), []
    for row in power_rows(run):
        truth, measures = run.truths[SCENARIO][row.name], {m.name: m for m in run.tallies(SCENARIO)[row.name].measures()}
        known = np.isfinite(truth.value)
        mean, exaggeration = measures["mean_estimate"], measures["exaggeration"]
        shown = effect_in_words(run, row.name, truth.value, truth.std_error) if known else numbers.DASH
        found = effect_in_words(run, row.name, mean.value, mean.mcse) if np.isfinite(mean.value) else numbers.DASH
        rows.append((row.question, labels[row.name], shown, found, numbers.with_mcse(exaggeration.value, exaggeration.mcse, RATIO_DIGITS)))
    head = ("outcome", "synthesis", "true mean", "mean estimate", "exaggeration (MCSE)")
    note = "Exaggeration: mean size of the statistically significant estimates over the true size, on the log scale for ratios."
    return Table("Truth and estimates", head, rows, right=(2, 3, 4), notes=(note,))


def level_table(run: EvidenceRun) -> Table:
    """How often a benefit is shown, and either direction is significant, when the mean of true effects is 0."""
    rows = []
    for row in power_rows(run, NULL) if NULL in run.cells else []:
        tally = run.tallies(NULL)[row.name]
        nominal = 2 * row.nominal
        benefit, either = numbers.share_detail(tally.n_benefit, tally.n), numbers.share_detail(tally.n_rejected, tally.n)
        against = against_nominal(tally.n_rejected, tally.n, nominal)
        rows.append((row.question, row.label, benefit, either, numbers.percent(nominal), against, numbers.whole(tally.n_failed)))
    head = ("outcome", "synthesis", "benefit, % (MCSE)", "either way, % (MCSE)", "nominal", "against nominal", "failed")
    note = "The mean of true effects is 0; they differ between studies as declared, and whatever biases the evidence stays."
    return Table("Without any effect", head, rows, right=(2, 3, 4, 6), notes=(note,))


def cells_table(run: EvidenceRun, cells: dict[str, str], title: str, note: str = "") -> Table:
    """Power of the leading syntheses and the first pattern in several cells."""
    leads = leading(run, power_rows(run))
    patterns = list(run.scenario.patterns)[:1]
    rows = []
    for cell, label in cells.items():
        by_name = {row.name: row for row in power_rows(run, cell)}
        shown = [by_name[lead.name].count.power for lead in leads]
        often = [numbers.share(round(m.value * m.n_replicates), m.n_replicates) for m in run.patterns(cell)[: len(patterns)]]
        rows.append((label, *shown, *often))
    head = ("setting", *(f"{lead.question}, %" for lead in leads), *(f"{spoken(name)} pattern, %" for name in patterns))
    method = f", by {leads[0].label}" if leads else ""
    shares = f"Shares of {numbers.whole(run.n_replicates)} simulated reviews that show a benefit{method}."
    return Table(title, head, rows, right=tuple(range(1, len(head))), notes=(f"{shares} {note}".strip(),))


def explanations_table(run: EvidenceRun) -> Table | None:
    """The first pattern with an effect and without: how often it is seen, how much its missing part tells, and what was run for it."""
    cells = without_effect(run)
    if not run.scenario.patterns or not cells or SCENARIO in run.record["without_effect"]:
        return None
    name, pattern = next(iter(run.scenario.patterns.items()))
    lead, rows = leading(run, power_rows(run))[0], []
    for cell in (SCENARIO, *cells):
        count, shown = missing_among(run, cell)
        tally = run.tallies(cell)[lead.name]
        mean = {m.name: m for m in tally.measures()}["mean_estimate"]
        among = numbers.share(count, shown) if shown >= FEWEST_SHOWN else numbers.DASH
        made = {measure.name: measure for measure in run.counts(cell)}["studies_run"]
        label = "the drug works as assumed" if cell == SCENARIO else "the drug does nothing" if cell == NULL else run.cells[cell]
        shares = count_of(tally).power, numbers.share(count, run.n_replicates), among
        rows.append((label, *shares, _shown(run, lead.name, mean), numbers.rounded(made.value, made.mcse, 1)))
    first = listed([question_of(run.scenario, one) for one in dict.fromkeys(pattern.shows)])
    head = ("setting", f"{lead.question}, %", f"{spoken(name)} pattern, %", f"of those that show {first}, %", f"mean {lead.question}", "trials run")
    note = f"Mean: of the pooled {unit_of(run, lead.name).name}. Trials run: for each review, published or not."
    return Table("Could it be chance, or selection?", head, rows, right=(1, 2, 3, 4, 5), notes=(note,))


def sweep_table(run: EvidenceRun) -> Table | None:
    """Power, bias and coverage of every synthesis at every point of the sweep."""
    cells = run.sweep_cells()
    if not cells or len(cells) * len(run.scenario.syntheses) > MOST_SWEPT:
        return None
    labels, rows = labels_of(run.scenario), []
    for cell in cells:
        for row in power_rows(run, cell):
            tally = run.tallies(cell)[row.name]
            bias = {measure.name: measure for measure in tally.measures()}.get("bias")
            covered = numbers.share_detail(tally.n_covered, tally.n_intervals) if tally.truth and tally.n_intervals else numbers.DASH
            shown = numbers.share_detail(tally.n_benefit, tally.n), _in_unit(bias, unit_of(run, row.name).digits + 1), covered
            rows.append((run.cells[cell], row.question, labels[row.name], *shown, numbers.whole(row.count.failed)))
    head = ("setting", "outcome", "synthesis", "power, % (MCSE)", "bias (MCSE)", "coverage, % (MCSE)", "failed")
    return Table("Every synthesis at every setting", head, rows, right=(3, 4, 5, 6), notes=("Bias of ratios on the log scale.",))


MOST_SWEPT = 400
"""Rows of that table at most; measures.csv has them all."""


def estimates_table(run: EvidenceRun) -> Table:
    """Mean pooled effects of the leading syntheses in all cells, and studies run for those published."""
    leads = leading(run, power_rows(run))
    rows = []
    for cell, label in run.cells.items():
        means = []
        for lead in leads:
            mean = {m.name: m for m in run.tallies(cell)[lead.name].measures()}["mean_estimate"]
            means.append(_shown(run, lead.name, mean))
        counts = {measure.name: measure for measure in run.counts(cell)}
        runs = numbers.rounded(counts["studies_run"].value, counts["studies_run"].mcse, 1)
        rows.append((label, *means, runs, numbers.rounded(counts["patients_included"].value, counts["patients_included"].mcse, 0)))
    head = ("setting", *(lead.question for lead in leads), "trials run", "patients")
    units = ", ".join(dict.fromkeys(RATIOS.get(run.meanings[lead.name].scale, unit_of(run, lead.name).name) for lead in leads))
    return Table(
        "Mean pooled effects", head, rows, right=tuple(range(1, len(head))), notes=(f"Mean of the estimates ({units}; ratios: geometric mean).",)
    )


def _shown(run: EvidenceRun, name: str, mean: Measure) -> str:
    if not np.isfinite(mean.value):
        return numbers.DASH
    return effect_in_words(run, name, mean.value, mean.mcse).removeprefix("SMD ").removeprefix("risk ratio ").removeprefix("odds ratio ")


def differences_table(run: EvidenceRun) -> Table | None:
    """Paired differences between syntheses of one outcome, against the first of it."""
    found = run.differences()
    if found.empty:
        return None
    labels, rows = labels_of(run.scenario), []
    firsts = {row.question: row.name for row in reversed(power_rows(run))}
    for row in found.to_dict(orient="records"):
        against, measure, difference, mcse = str(row["against"]), str(row["measure"]), float(row["difference"]), float(row["mcse"])
        if against not in firsts.values() or measure not in ("power", "coverage", "bias") or not np.isfinite(difference):
            continue
        factor, digits, unit = (1, RATIO_DIGITS + 1, "") if measure == "bias" else (100, 1, ", percentage points")
        shown = numbers.with_mcse(factor * difference, factor * mcse, digits)
        rows.append((question_of(run.scenario, against), labels[str(row["synthesis"])], labels[against], f"{measure}{unit}", shown))
    if not rows:
        return None
    head = ("outcome", "synthesis", "less", "measure", "difference (paired MCSE)")
    return Table("Differences on the same bodies of evidence", head, rows, right=(4,))


def failures_table(run: EvidenceRun) -> Table:
    """Bodies of evidence that could not be synthesized, by reason, in every cell."""
    labels = labels_of(run.scenario)
    rows = [
        row for cell, label in run.cells.items() for name, tally in run.tallies(cell).items() for row in _failures(run, label, labels, name, tally)
    ]
    return Table("Failures", ("cell", "outcome", "synthesis", "reason", "replicates"), rows, right=(4,))


def _failures(run: EvidenceRun, cell: str, labels: dict[str, str], name: str, tally: Tally) -> Iterator[tuple[str, ...]]:
    for status, count in sorted(count_of(tally).reasons.items()):
        yield cell, question_of(run.scenario, name), labels[name], reason_in_words(status), numbers.whole(count)


def studies_table(run: EvidenceRun) -> Table | None:
    """The listed studies."""
    studies = run.scenario.studies
    every = getattr(studies, "all", None)
    if every is None:
        return None
    further, rows = studies.is_further(), []
    for i, (study, label) in enumerate(zip(every, studies.labels(), strict=True)):
        measured = ", ".join(spoken(name) for name in study.outcomes) if study.outcomes is not None else "all"
        cells = (f"{study.n_active}/{study.n_control}", numbers.plain(study.weeks), study.drug_class, study.crp_rule, measured)
        rows.append((f"{label}{' (added)' if further[i] else ''}", *cells))
    head = ("study", "active/control", "weeks", "class", "biomarker", "outcomes")
    return Table("Studies", head, rows, right=(1, 2))
