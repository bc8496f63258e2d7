"""The command line as a user meets it: one process per call, with an exit code, output and errors of its own.

The first call of each command starts Python anew, as a user does, so that a command that misses an import is found. Later ones are forked from a
process that has imported the program and done nothing else, which saves the second or two that the imports take. Where processes cannot be forked,
all start anew.
"""

import atexit
import gc
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve()
IMPORTED = (
    "simtrials.cli.main",
    "simtrials.engine.run",
    "simtrials.report.html",
    "simtrials.report.text",
    "simtrials.report.checks",
    "pyarrow.parquet",
)


@dataclass
class Forks:
    """The process that has imported the program, started when it is first needed, and the commands that have been started anew."""

    begun: set[str] = field(default_factory=set)
    process: subprocess.Popen | None = None

    def known(self, words):
        """Whether this command was started anew before."""
        name = next((word for word in words if not word.startswith("-")), "")
        return name in self.begun or self.begun.add(name)

    def run(self, words, cwd, environment):
        """Like `subprocess.run`, in a fork."""
        if self.process is None or self.process.poll() is not None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self.process = subprocess.Popen(
                [sys.executable, str(HERE)], text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, **pipes
            )
            atexit.register(self.process.communicate)
        with tempfile.TemporaryDirectory() as folder:
            asked = {"words": words, "cwd": str(cwd), "environment": environment, "folder": folder}
            self.process.stdin.write(json.dumps(asked) + "\n")
            self.process.stdin.flush()
            code = int(self.process.stdout.readline())
            out, err = (Path(folder, name).read_text(encoding="utf-8") for name in ("out", "err"))
        return subprocess.CompletedProcess(["simtrials", *words], code, out, err)


FORKS = Forks()


def call(*words, cwd, env=None):
    """`simtrials WORDS` in the folder `cwd`: what `subprocess.run` gives, in plain text of 80 columns."""
    words = [str(word) for word in words]
    environment = os.environ | {"NO_COLOR": "1", "COLUMNS": "80"} | (env or {})
    if env is None and hasattr(os, "fork") and FORKS.known(words):
        return FORKS.run(words, cwd, environment)
    command = [sys.executable, "-m", "simtrials", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, check=False)


def in_a_fork(asked):
    """Make this fork what a new process would be, up to its call of the program."""
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for name, descriptor in (("out", 1), ("err", 2)):
        file = os.open(Path(asked["folder"], name), os.O_WRONLY | os.O_CREAT)
        os.dup2(file, descriptor)
    sys.argv = ["simtrials", *asked["words"]]


def serve():
    """Fork for every line of standard input and answer with the exit code; the forks leave the loop and are the program."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            in_a_fork(json.loads(line))
            return
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()
    sys.exit()


if __name__ == "__main__":
    for module in IMPORTED:
        __import__(module)
    from numba.core.registry import cpu_target

    cpu_target.typing_context.refresh()  # what numba does when the first compiled function is called
    cpu_target.target_context.refresh()
    gc.freeze()  # else every fork copies, on its way out, the memory that it shares
    serve()
    from simtrials.cli.main import main

    main()
