"""Errors that a user can act on: where, what must hold, what was found, the nearest remedy."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class SimtrialsError(Exception):
    """A mistake of the declaration or of the call, told without a traceback."""


class Stopped(Exception):
    """Stopped by the user on the way; the message says how to go on."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a declaration: the dotted path where it stands, and a sentence."""

    place: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.place}: {self.sentence}" if self.place else self.sentence


class DeclarationError(SimtrialsError):
    """Everything that is wrong with one declaration, told at once."""

    def __init__(self, problems: Sequence[Problem], source: str = "the scenario") -> None:
        self.problems = tuple(problems)
        self.source = source
        super().__init__(str(self))

    def __str__(self) -> str:
        count = len(self.problems)
        head = f"{self.source} has {count} problem{'s' if count != 1 else ''}"
        return "\n".join([head, *(f"  {problem}" for problem in self.problems)])


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a sentence that names the nearest known word, or lists the known ones."""
    words = sorted(known)
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known: {', '.join(words)}" if words else "; none is declared"
