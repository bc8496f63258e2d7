"""``simtrials kinds``, ``schema`` and ``new``."""

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from simtrials.cli.app import app
from simtrials.cli.options import Json

TEMPLATES = {
    "enriched_parallel": ("next_trial", "CRP-enriched parallel groups, symptom scales"),
    "unselected_parallel": ("next_trial_unselected", "everybody enrolled, with the interaction test"),
    "crossover_effect": ("raison_2013", "benefit above, harm below a CRP value"),
    "t_test": ("textbook_t", "two means"),
    "proportions": ("textbook_proportions", "two proportions"),
    "review": ("review_2026", "bodies of evidence: small trials, what a review of them sees"),
}


@app.command(rich_help_panel="Learn")
def kinds(
    slot: Annotated[str | None, typer.Argument(help="Slot, such as endpoints, or scales. Default: all, with their kinds.")] = None,
    as_json: Json = False,
) -> None:
    """List what a scenario can be made of: slots, their kinds, and the fields of each kind with unit, range and default.

    Example:  simtrials kinds effects

    See also: schema, new
    """
    import simtrials.engine.files  # noqa: F401
    from simtrials.cli.fields import field_lines
    from simtrials.core.errors import SimtrialsError, did_you_mean
    from simtrials.core.registry import Registry

    slots = Registry.slots
    if slot == "scales" and not as_json:
        _scales()
        return
    if slot is not None and slot not in slots:
        raise SimtrialsError(f"no slot called {slot!r}{did_you_mean(slot, [*slots, 'scales'])}")
    chosen = [slot] if slot else sorted(slots)
    if as_json:
        found = {name: {kind: slots[name][kind].model_json_schema() for kind in slots[name]} for name in chosen}
        typer.echo(json.dumps(found, indent=1))
        return
    for name in chosen:
        typer.echo(name)
        for kind in slots[name]:
            cls = slots[name][kind]
            typer.echo(f"  {kind:<20} {(cls.__doc__ or '').strip().splitlines()[0]}")
            if slot:
                typer.echo("\n".join(field_lines(cls)))


def _scales() -> None:
    """The table of known symptom scales."""
    from simtrials.trial.endpoints.scales import SCALES

    typer.echo("scales known by name; describe any other in a table (name, minimum, maximum, remission_cut, improves, domain)")
    for scale in SCALES.values():
        cut = "no remission cut" if scale.remission_cut is None else f"remission {scale.remission_cut:g} or less"
        typer.echo(f"  {scale.name:<10} {scale.minimum:g} to {scale.maximum:g} points, improves {scale.improves}, {scale.domain}, {cut}")
        typer.echo(f"             {scale.source}")


@app.command(rich_help_panel="Learn")
def schema(
    evidence: Annotated[bool, typer.Option("--evidence/--trial", help="Of scenarios of bodies of evidence, or of trials.")] = False,
) -> None:
    """Print the JSON Schema of a scenario, for editors and other programs.

    Example:  simtrials schema > simtrials.schema.json

    See also: kinds
    """
    from simtrials.engine.schema import evidence_schema, scenario_schema

    typer.echo(json.dumps(evidence_schema() if evidence else scenario_schema(), indent=1))


@app.command(rich_help_panel="Learn")
def new(
    name: Annotated[str, typer.Argument(help="Name of the scenario; the file is NAME.toml.", metavar="NAME")],
    template: Annotated[str, typer.Option(help=f"{', '.join(TEMPLATES)}.", metavar="NAME")] = "enriched_parallel",
) -> None:
    """Write a commented scenario file to start from.

    Example:  simtrials new my_trial --template enriched_parallel

    See also: check, run, kinds
    """
    from simtrials.core.errors import SimtrialsError, did_you_mean
    from simtrials.engine.files import shipped_scenarios
    from simtrials.engine.store import write_whole

    if template not in TEMPLATES:
        raise SimtrialsError(f"--template: no template called {template!r}{did_you_mean(template, TEMPLATES)}")
    name = name.removesuffix(".toml")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise SimtrialsError(f"a name has letters, digits, '_', '-' and '.', got {name!r}")
    path = Path(f"{name}.toml")
    if path.exists():
        raise SimtrialsError(f"{path} exists already; choose another name or remove it first")
    text = shipped_scenarios()[TEMPLATES[template][0]].read_text(encoding="utf-8")
    write_whole(path, re.sub(r'^name = ".*"$', f'name = "{name}"', text, count=1, flags=re.MULTILINE))
    typer.echo(f"  {path} written from template {template}\n  next    simtrials check {path}")
