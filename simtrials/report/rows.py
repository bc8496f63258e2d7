"""The rows of the power table, the same for terminal, figure and report: one per analysis, grouped by question."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from simtrials.core.measures import Tally, share_mcse
from simtrials.core.status import SENTENCES, Status
from simtrials.engine.declared import NULL, SCENARIO
from simtrials.engine.result import Run
from simtrials.report import numbers
from simtrials.report.look import MANY_FAILED
from simtrials.report.names import labels_of, question_of


@dataclass(frozen=True, slots=True)
class Count:
    """A number of replicates: how many of all show a benefit, how many could not be estimated and why, how many estimates are infinite."""

    shown: int
    of: int
    failed: int
    infinite: int
    reasons: Mapping[int, int]

    @property
    def none_estimable(self) -> bool:
        """Whether there is no result at all."""
        return self.failed == self.of

    @property
    def power(self) -> str:
        """`84.2 ± 0.7` in percent; a dash when nothing could be estimated."""
        return numbers.DASH if self.none_estimable else numbers.share(self.shown, self.of)


@dataclass(frozen=True, slots=True)
class PowerRow:
    """One analysis: its names, its counts under the scenario and without any effect, and its nominal share without effect."""

    name: str
    question: str
    label: str
    count: Count
    null: Count | None
    nominal: float
    closed_form: float | None
    closed_form_what: str

    def verdict(self, target: float) -> str:
        """`above`, `below`, `cannot tell`; a dash without a result."""
        return numbers.DASH if self.count.none_estimable else numbers.verdict(self.count.shown, self.count.of, target)


def count_of(tally: Tally) -> Count:
    """The counts of a tally."""
    return Count(tally.n_benefit, tally.n, tally.n_failed, tally.n_estimable - tally.n_finite, dict(tally.failures))


def power_rows(run: Run) -> list[PowerRow]:
    """One row per analysis; rows of one question stand together, in the order of the file."""
    labels = labels_of(run.scenario)
    nulls = run.tallies(NULL) if NULL in run.cells else {}
    rows = []
    for name, tally in run.tallies(SCENARIO).items():
        analysis, closed = run.scenario.analyses[name], run.record.get("closed_form", {}).get(name, {})
        rows.append(
            PowerRow(
                name=name,
                question=question_of(run.scenario, name),
                label=labels[name],
                count=count_of(tally),
                null=count_of(nulls[name]) if nulls else None,
                nominal=analysis.nominal,
                closed_form=closed.get("power"),
                closed_form_what=closed.get("what", ""),
            )
        )
    order = list(dict.fromkeys(row.question for row in rows))
    return sorted(rows, key=lambda row: order.index(row.question))


def leading(run: Run, rows: list[PowerRow]) -> list[PowerRow]:
    """One row per question: the primary analysis, or the first of the file."""
    chosen: dict[str, PowerRow] = {}
    for row in rows:
        if row.question not in chosen or (row.name in run.scenario.primary and chosen[row.question].name not in run.scenario.primary):
            chosen[row.question] = row
    return list(chosen.values())


def reason_in_words(status: int) -> str:
    """Why a replicate could not be estimated."""
    return SENTENCES.get(Status(status), f"status {status}") if status in set(Status) else f"status {status}"


def reasons_in_words(count: Count) -> str:
    """`logistic fit separated (13)`, the most frequent reason first."""
    ordered = sorted(count.reasons.items(), key=lambda item: -item[1])
    return ", ".join(f"{reason_in_words(status)} ({numbers.whole(n)})" for status, n in ordered)


def failure_sentences(rows: list[PowerRow], noun: str = "trials") -> Iterator[str]:
    """What happened to replicates without an estimate: one sentence per analysis that has any."""
    for row in rows:
        count, who = row.count, f"{row.question}, {row.label}"
        if count.none_estimable:
            yield f"{who}: no result, none of {numbers.whole(count.of)} {noun} could be estimated: {reasons_in_words(count)}."
        elif count.failed:
            tested = count.of - count.failed
            others = f"power among the {numbers.whole(tested)} others {numbers.in_percent(count.shown, tested)}"
            failed = f"{numbers.whole(count.failed)} of {numbers.whole(count.of)} {noun} could not be estimated and count as no benefit shown"
            yield f"{who}: {failed}: {reasons_in_words(count)}; {others}."
        if count.infinite:
            yield f"{who}: {numbers.whole(count.infinite)} of {numbers.whole(count.of)} estimates are infinite; their tests count."


def caution(rows: list[PowerRow], noun: str = "trials") -> str:
    """The warning that precedes the answer when an analysis failed in more than 5% of the trials; else empty."""
    bad = [row for row in rows if row.count.failed > MANY_FAILED * row.count.of]
    if not bad:
        return ""
    shares = [f"{row.question}, {row.label}: {_share_failed(row.count)}" for row in bad]
    many = numbers.percent(MANY_FAILED)
    return f"Caution: more than {many}% of the {noun} could not be estimated ({'; '.join(shares)}). They count as no benefit shown."


def _share_failed(count: Count) -> str:
    return f"all {numbers.whole(count.of)}" if count.none_estimable else numbers.in_percent(count.failed, count.of)


def widest_interval(rows: list[PowerRow]) -> tuple[float, PowerRow]:
    """Half of the widest 95% Monte Carlo interval of a power, in percentage points, and its row."""
    halves = [(numbers.Z95 * 100 * share_mcse(row.count.shown, row.count.of), i) for i, row in enumerate(rows)]
    half, place = max(halves)
    return half, rows[place]
