"""Luck: one stream of random numbers for each drawn quantity, keyed by purpose, block and name.

Results do not depend on the number of workers, on the order of blocks or on what else is drawn; more replicates and more patients extend
a stream without changing what came before.
"""

from enum import IntEnum
from hashlib import blake2b

import numpy as np

from simtrials.core.arrays import FloatArray

STREAM_VERSION = 1
BLOCK_SIZE = 256


class Purpose(IntEnum):
    """What a block of replicates is for; blocks of different purpose share no luck."""

    RUN = 0
    TRUTH = 1
    PREPARE = 2


class Streams:
    """The generators of one block: ``streams["crp.sample"]`` is the stream of that quantity, and asking again goes on where it stopped."""

    __slots__ = ("_made", "block", "purpose", "seed")

    def __init__(self, seed: int, purpose: Purpose, block: int) -> None:
        self.seed, self.purpose, self.block = seed, purpose, block
        self._made: dict[str, np.random.Generator] = {}

    def __getitem__(self, path: str) -> np.random.Generator:
        if path not in self._made:
            sequence = np.random.SeedSequence(self.seed, spawn_key=(int(self.purpose), self.block, _number(path)))
            self._made[path] = np.random.Generator(np.random.SFC64(sequence))
        return self._made[path]


def _number(path: str) -> int:
    return int.from_bytes(blake2b(path.encode(), digest_size=8).digest(), "little")


def uniforms(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Uniform numbers on [0, 1) of shape ``(replicate, patient, ...)``, drawn patient by patient.

    Drawing n and then m more patients gives the same numbers as drawing n + m, so a larger trial keeps its first patients.
    """
    replicates, patients, *rest = shape
    return rng.random((patients, *rest, replicates)).transpose(_replicates_first(len(shape)))


def normals(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Standard normal numbers of shape ``(replicate, patient, ...)``, drawn patient by patient as `uniforms` are."""
    replicates, patients, *rest = shape
    return rng.standard_normal((patients, *rest, replicates)).transpose(_replicates_first(len(shape)))


def _replicates_first(dimensions: int) -> tuple[int, ...]:
    return (dimensions - 1, *range(dimensions - 1))
