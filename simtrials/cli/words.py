"""``simtrials words``: words for the protocol, from a finished run."""

import json
from typing import Annotated

import typer

from simtrials.cli.app import app
from simtrials.cli.options import Json, Set, changes

RunOrFile = Annotated[str, typer.Argument(metavar="RESULTS", help="Folder of a finished run, or the scenario file (or its name) that was run.")]


@app.command(rich_help_panel="Read")
def words(
    results: RunOrFile,
    analysis: Annotated[
        list[str] | None, typer.Option(help="Analysis by name; repeat. Default: the primary ones, else the first of the file.", metavar="NAME")
    ] = None,
    out: Annotated[str, typer.Option(help="Folder in which the run of a scenario file is looked for.", metavar="DIR")] = "results",
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Words for the protocol: a sample-size paragraph (SPIRIT, CONSORT) and the simulation study in the ADEMP scheme, as Markdown.

    With a scenario file, question, sources and primary analyses are those of the file, so that a source that was added needs no new run.

    Example:  simtrials words results/next_trial-3f9c21 --analysis response

    See also: show, report, size
    """
    from simtrials.report.words.stored import stored_run

    found = stored_run(results, changes(set_), out).words(*(analysis or ()))
    typer.echo(json.dumps(found.to_dict(), indent=1, ensure_ascii=False) if as_json else found.markdown, nl=as_json)
