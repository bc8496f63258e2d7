"""Results on disk: one folder per scenario digest, one folder of shards per cell.

A shard is a Parquet file of up to 64 consecutive blocks, written to a temporary name, synced and renamed, with a checksum on every page.
Shards only grow and what is in them is the same whoever computed it, so two processes on one folder do no harm to each other.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simtrials.core.arrays import AnyArray
from simtrials.core.errors import SimtrialsError
from simtrials.core.rng import BLOCK_SIZE
from simtrials.engine.blocks import Columns

BLOCKS_PER_SHARD = 64
FINGERPRINT = b"simtrials.fingerprint"


@dataclass(frozen=True, slots=True)
class Damage:
    """A shard that cannot be used, and why."""

    path: Path
    why: str

    def __str__(self) -> str:
        return f"{self.path.parent.name}/{self.path.name} {self.why}; its replicates are simulated again"


class CellStore:
    """The shards of one cell."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder, self.fingerprint = folder, fingerprint
        self.damage: list[Damage] = []
        folder.mkdir(parents=True, exist_ok=True)
        self._open: list[Columns] = []
        self._clean()
        self.n_blocks = self._usable_blocks()

    def path(self, shard: int) -> Path:
        return self.folder / f"{shard:05d}.parquet"

    def _clean(self) -> None:
        """Remove what a killed process left half-written; nobody writes while the lock is ours."""
        with self._lock():
            for left in self.folder.glob("*.tmp"):
                left.unlink()

    def _lock(self) -> Any:
        from filelock import FileLock

        return FileLock(self.folder / ".lock")

    def _usable_blocks(self) -> int:
        """Blocks from the start that are whole and were computed by these versions; a damaged shard ends them."""
        total = 0
        last = max((int(path.stem) for path in self.folder.glob("*.parquet") if path.stem.isdigit()), default=-1)
        for shard in range(last + 1):
            columns = self._read(shard)
            if columns is None:
                if not self.path(shard).exists():
                    self.damage.append(Damage(self.path(shard), "is missing"))
                break
            blocks = _length(columns) // BLOCK_SIZE
            total += blocks
            if blocks < BLOCKS_PER_SHARD:
                self._open = [{name: values[i * BLOCK_SIZE : (i + 1) * BLOCK_SIZE] for name, values in columns.items()} for i in range(blocks)]
                break
        return total

    def _read(self, shard: int) -> dict[str, AnyArray] | None:
        import pyarrow as pa
        from pyarrow import parquet

        path = self.path(shard)
        try:
            table = parquet.read_table(path, page_checksum_verification=True, partitioning=None)
        except FileNotFoundError:
            return None
        except (OSError, pa.ArrowException) as error:
            self.damage.append(Damage(path, f"is damaged ({str(error).splitlines()[0][:80]})"))
            return None
        if (table.schema.metadata or {}).get(FINGERPRINT) != self.fingerprint.encode():
            self.damage.append(Damage(path, "was made by other versions of simtrials or its libraries"))
            return None
        if table.num_rows % BLOCK_SIZE:
            self.damage.append(Damage(path, "is not whole"))
            return None
        return {name: table.column(name).to_numpy() for name in table.column_names}

    def add(self, columns: Columns) -> None:
        """The next block; written when its shard is full or `flush` is called."""
        self._open.append(columns)
        self.n_blocks += 1
        if self.n_blocks % BLOCKS_PER_SHARD == 0:
            self.flush()
            self._open = []

    def flush(self) -> None:
        """Write the open shard, unless another process has written more of it."""
        import pyarrow as pa
        from pyarrow import parquet

        if not self._open:
            return
        shard = (self.n_blocks - 1) // BLOCKS_PER_SHARD
        whole = {name: np.concatenate([block[name] for block in self._open]) for name in self._open[0]}
        table = pa.table(whole).replace_schema_metadata({FINGERPRINT: self.fingerprint.encode()})
        path = self.path(shard)
        with self._lock():
            if self._rows_on_disk(path) >= table.num_rows and not any(damage.path == path for damage in self.damage):
                return
            temporary = path.with_suffix(f".{os.getpid()}.tmp")
            with temporary.open("wb") as stream:
                parquet.write_table(table, stream, compression="zstd", compression_level=1, use_dictionary=False, write_page_checksum=True)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
            self.damage = [damage for damage in self.damage if damage.path != path]

    def _rows_on_disk(self, path: Path) -> int:
        import pyarrow as pa
        from pyarrow import parquet

        try:
            metadata = parquet.read_metadata(path)
        except (OSError, pa.ArrowException):
            return 0
        known = (metadata.metadata or {}).get(FINGERPRINT) == self.fingerprint.encode()
        return int(metadata.num_rows) if known else 0

    def shards(self, n_replicates: int) -> Iterator[dict[str, AnyArray]]:
        """Columns of the first `n_replicates`, shard by shard.

        Raises
        ------
        SimtrialsError
            When a shard that was there is gone or damaged.
        """
        left = n_replicates
        shard = 0
        while left > 0:
            columns = self._read(shard)
            if columns is None:
                raise SimtrialsError(f"{self.path(shard)} is missing or damaged; run the scenario again to restore it")
            size = min(left, _length(columns))
            if size == 0:
                raise SimtrialsError(f"{self.path(shard)} is empty")
            yield {name: values[:size] for name, values in columns.items()}
            if _length(columns) < BLOCKS_PER_SHARD * BLOCK_SIZE and left > size:
                raise SimtrialsError(f"{self.path(shard)} ends after {size:,} replicates; run the scenario again to restore the rest")
            left -= size
            shard += 1


def _length(columns: Mapping[str, AnyArray]) -> int:
    """Replicates of a shard."""
    return int(next(iter(columns.values())).size) if columns else 0


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that it is never seen half-written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    data = content.encode("utf-8") if isinstance(content, str) else content
    with temporary.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain values as JSON, never half-written."""
    write_whole(path, json.dumps(content, indent=1, allow_nan=False) + "\n")
