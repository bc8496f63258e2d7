"""A progress bar on stderr with rate and time left; without a terminal one line per 10%."""

import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from simtrials.core.errors import Stopped


class Bar:
    """Call it with the cell, the replicates done and the replicates wanted."""

    def __init__(self, quiet: bool, noun: str = "trials") -> None:
        self.quiet, self.noun, self.done, self.total = quiet, noun, 0, 0
        self._tenth: tuple[str, int] = ("", -1)
        self._task: TaskID | None = None
        self._stopped = False
        self._before_us: Any = None
        self._cell, self._since, self._before = "", 0.0, 0
        console = Console(stderr=True, highlight=False)
        self._live = console.is_terminal and not quiet
        words = "  {task.description}  {task.fields[numbers]}  "
        self._progress = Progress(
            TextColumn(words, markup=False), BarColumn(bar_width=16), TextColumn("{task.fields[rate]}"), console=console, transient=True
        )

    def __enter__(self) -> Self:
        self._hear()
        say_if_compiling(self.quiet)
        if self._live:
            self._progress.start()
        return self

    def _hear(self) -> None:
        """Remember Ctrl-C: raised inside a finaliser or a callback of a library, it would be lost; the next call raises it again."""

        def stop(number: int, frame: FrameType | None) -> None:
            self._stopped = True
            signal.default_int_handler(number, frame)

        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before_us = signal.signal(signal.SIGINT, stop)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live:
            self._progress.stop()
        if self._before_us is not None:
            signal.signal(signal.SIGINT, self._before_us)
        if kind is KeyboardInterrupt:
            raise Stopped("stopped; run the same command to continue") from None

    def warn(self, sentence: str) -> None:
        """Say at once that something goes wrong."""
        if not self.quiet:
            self._progress.console.print(f"  warning: {sentence}", markup=False, soft_wrap=True)

    def __call__(self, cell: str, done: int, total: int) -> None:
        if self._stopped:
            raise KeyboardInterrupt
        now = time.perf_counter()
        if cell != self._cell:
            self._cell, self._since, self._before = cell, now, done
        self.done, self.total = done, total
        if self.quiet:
            return
        rate = (done - self._before) / (now - self._since) if now > self._since and done > self._before else 0.0
        numbers = f"{done:,} of {total:,} {self.noun}"
        speed = [f"{rate:,.0f}/s"] if rate >= 1 else []
        left = "  ".join([*speed, *([f"{_seconds((total - done) / rate)} left"] if rate and done < total else [])])
        words = "simulating" if cell == "as declared" else f"simulating, {cell}"
        if self._live:
            if self._task is None:
                self._task = self._progress.add_task(words, total=total, numbers=numbers, rate=left)
            self._progress.update(self._task, description=words[:36], completed=done, total=total, numbers=numbers, rate=left)
            return
        tenth = 10 * done // total
        if cell != "as declared" and done < total:
            return
        if (cell, tenth) != self._tenth and (tenth > self._tenth[1] or cell != self._tenth[0]):
            self._tenth = (cell, tenth)
            print(f"  {words}  {numbers}  {left}".rstrip(), file=sys.stderr)  # noqa: T201


def say_if_compiling(quiet: bool) -> None:
    """Say once, before the first simulation on a machine, why it takes its time to begin."""
    from simtrials.core.kernels import compiled_before

    if not quiet and not _told and not compiled_before():
        _told.append("compiling")
        print("  compiling the simulation, once on this machine (about 20 s)", file=sys.stderr)  # noqa: T201


_told: list[str] = []
"""What is said once in a program."""


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
