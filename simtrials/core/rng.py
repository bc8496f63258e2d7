"""Luck: one stream of random numbers for each drawn quantity, keyed by purpose, block and name.

Results do not depend on the number of workers, on the order of blocks or on what else is drawn; more replicates and more patients extend
a stream without changing what came before.
"""

from collections.abc import Callable
from enum import IntEnum
from hashlib import blake2b

import numpy as np

from simtrials.core.arrays import AnyArray, FloatArray
from simtrials.core.kernels import kernel

STREAM_VERSION = 2
BLOCK_SIZE = 256


class Purpose(IntEnum):
    """What a block of replicates is for; blocks of different purpose share no luck."""

    RUN = 0
    TRUTH = 1
    PREPARE = 2


class Streams:
    """The generators of one block: ``streams["crp.sample"]`` is the stream of that quantity, and asking again goes on where it stopped."""

    __slots__ = ("_made", "block", "prefix", "purpose", "seed")

    def __init__(self, seed: int, purpose: Purpose, block: int, prefix: str = "") -> None:
        self.seed, self.purpose, self.block, self.prefix = seed, purpose, block, prefix
        self._made: dict[str, np.random.Generator] = {}

    def below(self, path: str) -> "Streams":
        """Streams of a part that has the same names for its quantities as its siblings: ``below("studies.3")["endpoints.madrs"]``."""
        return Streams(self.seed, self.purpose, self.block, f"{self.prefix}{path}/")

    def __getitem__(self, path: str) -> np.random.Generator:
        if path not in self._made:
            sequence = np.random.SeedSequence(self.seed, spawn_key=(int(self.purpose), self.block, _number(self.prefix + path)))
            self._made[path] = np.random.Generator(np.random.SFC64(sequence))
        return self._made[path]


def _number(path: str) -> int:
    return int.from_bytes(blake2b(path.encode(), digest_size=8).digest(), "little")


def uniforms(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Uniform numbers on [0, 1) of shape ``(replicate, patient, ...)``, drawn patient by patient.

    Drawing n and then m more patients gives the same numbers as drawing n + m, so a larger trial keeps its first patients.
    """
    return _drawn(rng, shape, _fill_uniforms, rng.random)


def normals(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Standard normal numbers of shape ``(replicate, patient, ...)``, drawn patient by patient as `uniforms` are."""
    return _drawn(rng, shape, _fill_normals, rng.standard_normal)


def _drawn(rng: np.random.Generator, shape: tuple[int, ...], fill: Callable[..., None], numpy_draws: Callable[..., FloatArray]) -> FloatArray:
    """Numbers of a stream with replicates innermost in memory: the bits of NumPy's own methods, three to four times as fast."""
    replicates, patients, *rest = shape
    axes = (len(shape) - 1, *range(len(shape) - 1))
    if not COMPILED:
        return numpy_draws((patients, *rest, replicates)).transpose(axes)
    drawn = np.empty((patients, *rest, replicates))
    generator = rng.bit_generator
    whole = generator.state
    fill(whole["state"]["state"], drawn.reshape(-1))
    generator.state = whole
    return drawn.transpose(axes)


# The kernels below are NumPy's SFC64 and its ziggurat with the generator written into the loop. The tables are those of NumPy; where numba
# no longer offers them NumPy draws itself, with the same bits.
try:
    from numba.np.random import _constants as _ziggurat

    COMPILED = True
    WIDTHS = np.array(_ziggurat.wi_double)
    EDGES = np.array(_ziggurat.ki_double, dtype=np.uint64)
    HEIGHTS = np.array(_ziggurat.fi_double)
    TAIL, TAIL_INVERSE = float(_ziggurat.ziggurat_nor_r), float(_ziggurat.ziggurat_nor_inv_r)
except (ImportError, AttributeError):  # pragma: no cover
    COMPILED = False
    WIDTHS, EDGES, HEIGHTS, TAIL, TAIL_INVERSE = np.zeros(256), np.zeros(256, dtype=np.uint64), np.zeros(256), 1.0, 1.0

ONE, THREE, EIGHT, NINE, ELEVEN, TWENTY_FOUR, FORTY = (np.uint64(n) for n in (1, 3, 8, 9, 11, 24, 40))
LAST_BYTE, MANTISSA = np.uint64(0xFF), np.uint64(0x000FFFFFFFFFFFFF)
SIGNS = np.array([1.0, -1.0])
UNIT = 1.0 / 9007199254740992.0


@kernel
def _next(a: np.uint64, b: np.uint64, c: np.uint64, w: np.uint64) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64, np.uint64]:
    """One step of SFC64: the number drawn, and the new state.

    Source: Doty-Humphrey 2010, PractRand, as in NumPy's _sfc64.
    """
    drawn = a + b + w
    return drawn, b ^ (b >> ELEVEN), c + (c << THREE), ((c << TWENTY_FOUR) | (c >> FORTY)) + drawn, w + ONE


@kernel
def _fill_uniforms(state: AnyArray, out: FloatArray) -> None:
    """53-bit uniforms, as Generator.random."""
    a, b, c, w = state[0], state[1], state[2], state[3]
    for i in range(out.size):
        drawn, a, b, c, w = _next(a, b, c, w)
        out[i] = np.float64(drawn >> ELEVEN) * UNIT
    state[0], state[1], state[2], state[3] = a, b, c, w


@kernel
def _fill_normals(state: AnyArray, out: FloatArray) -> None:
    """Ziggurat with 256 layers, as Generator.standard_normal; the sign comes from a table, since a branch on it is guessed wrong half the time.

    Source: Marsaglia & Tsang 2000, Journal of Statistical Software 5(8).
    """
    a, b, c, w = state[0], state[1], state[2], state[3]
    i = 0
    while i < out.size:
        drawn, a, b, c, w = _next(a, b, c, w)
        layer = drawn & LAST_BYTE
        place = (drawn >> NINE) & MANTISSA
        value = np.float64(np.int64(place)) * WIDTHS[layer] * SIGNS[(drawn >> EIGHT) & ONE]
        inside = place < EDGES[layer]
        if not inside:
            inside, value, a, b, c, w = _outside(layer, place, value, a, b, c, w)
        if inside:
            out[i] = value
            i += 1
    state[0], state[1], state[2], state[3] = a, b, c, w


@kernel
def _outside(
    layer: np.uint64, place: np.uint64, value: float, a: np.uint64, b: np.uint64, c: np.uint64, w: np.uint64
) -> tuple[bool, float, np.uint64, np.uint64, np.uint64, np.uint64]:
    """The one draw in a hundred that does not lie in the core of its layer: whether it is accepted, its value, and the new state."""
    if layer > 0:
        drawn, a, b, c, w = _next(a, b, c, w)
        height = (HEIGHTS[layer - ONE] - HEIGHTS[layer]) * (np.float64(drawn >> ELEVEN) * UNIT) + HEIGHTS[layer]
        return height < np.exp(-0.5 * value * value), value, a, b, c, w
    searching, beyond = True, 0.0
    while searching:
        drawn, a, b, c, w = _next(a, b, c, w)
        beyond = -TAIL_INVERSE * np.log1p(-(np.float64(drawn >> ELEVEN) * UNIT))
        drawn, a, b, c, w = _next(a, b, c, w)
        height = -np.log1p(-(np.float64(drawn >> ELEVEN) * UNIT))
        searching = height + height <= beyond * beyond
    return True, -(TAIL + beyond) if (place >> EIGHT) & ONE else TAIL + beyond, a, b, c, w
