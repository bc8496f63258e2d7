"""How precise the powers of a run are, and what they are: sentences for the performance measures of a simulation study."""

from collections.abc import Iterator, Sequence

from simtrials.core.measures import share_mcse
from simtrials.report import numbers
from simtrials.report.rows import PowerRow


def precision_sentences(rows: Sequence[PowerRow], n_replicates: int, noun: str) -> Iterator[str]:
    """The largest Monte Carlo standard error of a power, beside what it can be at most with so many replicates; then every power."""
    estimable = [row for row in rows if not row.count.none_estimable]
    if not estimable:
        yield f"No power can be given: none of the {numbers.whole(n_replicates)} simulated {noun} could be analyzed."
        return
    largest = max(share_mcse(row.count.shown, row.count.of) for row in estimable)
    bound = numbers.significant(50 / n_replicates**0.5, 2)
    here = f"at most {bound} percentage points with {numbers.whole(n_replicates)} replicates, here at most {numbers.significant(100 * largest, 2)}"
    yield f"Monte Carlo standard error of a power: {here}."
    found = [f"{row.question}, {row.label} {numbers.share_detail(row.count.shown, row.count.of)}" for row in estimable]
    yield f"Power found, % (Monte Carlo standard error): {'; '.join(found)}."
    lost = [f"{row.question}, {row.label} {numbers.whole(row.count.failed)}" for row in rows if row.count.failed]
    yield f"Without an estimate, of {numbers.whole(n_replicates)} simulated {noun}: {'; '.join(lost) if lost else 'none'}."
