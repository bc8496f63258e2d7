"""Patients as columns that are worked out when they are first asked for.

What is drawn is luck, (R, P) per stream; everything else follows from it. So candidates who fail a rule cost only what the rules look at,
and those who pass are gathered by their luck.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from simtrials.core.arrays import AnyArray
from simtrials.core.expressions import Column

Luck = dict[str, AnyArray]
Provider = Callable[["People"], Any]


class People(Mapping[str, Column]):
    """A block of patients: `luck` by stream, and columns by name, each computed once by its provider."""

    __slots__ = ("_known", "luck", "providers")

    def __init__(self, luck: Luck, providers: Mapping[str, Provider]) -> None:
        self.luck, self.providers = luck, providers
        self._known: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._known:
            self._known[name] = self.providers[name](self)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.providers)

    def __len__(self) -> int:
        return len(self.providers)

    def take(self, gather: Callable[[AnyArray], AnyArray]) -> "People":
        """The patients that `gather` picks from every array of luck."""
        return People({name: gather(values) for name, values in self.luck.items()}, self.providers)
