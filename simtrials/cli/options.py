"""Options that several commands share, and how values are read from the command line."""

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from simtrials.core.errors import SimtrialsError

File = Annotated[str, typer.Argument(metavar="FILE", help="Scenario file (TOML), or the name of a shipped scenario.")]
Results = Annotated[str, typer.Argument(metavar="RESULTS", help="Folder of a finished run, such as results/next_trial-3f9c21.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change a field of the scenario, e.g. --set design.n_patients=300.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for machines.")]
Jobs = Annotated[int | None, typer.Option(help="Workers. Default: one per processor.", metavar="N", min=1)]
Out = Annotated[str, typer.Option(help="Folder for results.", metavar="DIR", callback=lambda folder: writable(folder))]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but the result (and errors).")]


def writable(folder: str) -> str:
    """The folder for results, which is made when there is something to write.

    Raises
    ------
    SimtrialsError
        When nothing can be written there: told before anything is simulated.
    """
    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    why = "is a file" if not place.is_dir() else "no permission" if not os.access(place, os.W_OK | os.X_OK) else ""
    if why:
        raise SimtrialsError(f"--out: results cannot be written to {folder} ({place}: {why}); name another folder")
    return folder


def the_analysis(scenario: Any, given: str | None) -> str:
    """The analysis that is named, or the only one there is.

    Raises
    ------
    SimtrialsError
        When several could be meant.
    """
    names = tuple(scenario.analyses)
    if given is None and len(names) > 1:
        raise SimtrialsError(f"name the analysis with --analysis; the scenario has {', '.join(names)}")
    return given or names[0]


def changes(settings: list[str] | None) -> dict[str, Any]:
    """PATH=VALUE words as a mapping; a value is read as TOML, and as text where that fails."""
    found: dict[str, Any] = {}
    for setting in settings or []:
        path, equals, value = setting.partition("=")
        if not equals or not path.strip():
            raise SimtrialsError(f"--set needs PATH=VALUE, such as design.n_patients=300, got {setting!r}")
        found[path.strip()] = toml_value(value.strip())
    return found


def toml_value(text: str) -> Any:
    """A number, true or false, a list, a table or a text, as TOML would read it."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def numbers_of(text: str, option: str) -> list[float]:
    """Numbers with commas."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise SimtrialsError(f"{option} needs numbers with commas, such as 0.2,0.35,0.5, got {text!r}") from None
