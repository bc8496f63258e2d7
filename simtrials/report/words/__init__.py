"""Words for a protocol: a sample-size paragraph and the simulation study in the ADEMP scheme, made from a run or from a search."""

from simtrials.report.words.document import Words, words_of_evidence, words_of_run, words_of_size

__all__ = ["Words", "words_of_evidence", "words_of_run", "words_of_size"]
