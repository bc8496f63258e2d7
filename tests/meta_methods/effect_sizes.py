"""Effect sizes of the reference cases."""

import numpy as np

from meta_methods.cases import FOLDER, LEFT_OUT, METHODS, data, numbers_in, offers
from simtrials.stats.effect_sizes import MEAN_EFFECTS, effect_sizes, hedges_correction
from simtrials.stats.effect_sizes_counts import COUNT_EFFECTS

MOMENTS = {"mean_active": "m1i", "sd_active": "sd1i", "n_active": "n1i", "mean_control": "m2i", "sd_control": "sd2i", "n_control": "n2i"}
COUNTS = {"events_active": "ai", "n_active": "n1i", "events_control": "ci", "n_control": "n2i"}


def arguments_in(inputs: str) -> dict[str, str]:
    """{'vtype': 'LS'} of 'vtype=LS; row 1'."""
    return dict(part.split("=") for part in inputs.split("; ") if "=" in part)


def computed(measure: str):
    def numbers(name: str, inputs: str) -> dict[str, float]:
        given, row = arguments_in(inputs), int(inputs.rpartition("row ")[2]) - 1
        prefix, columns = ("counts", COUNTS) if measure in COUNT_EFFECTS else ("raw", MOMENTS)
        if not (FOLDER / "datasets" / f"{prefix}_{name}.csv").exists():
            prefix = "raw"
        table = data(f"{prefix}_{name}")
        inputs_of = {argument: table[column].to_numpy(float) for argument, column in columns.items()}
        options = {"variance": given["vtype"]} if "vtype" in given else {}
        options |= {"to": given["to"], "add": float(given["add"])} if "to" in given else {}
        found = effect_sizes(measure, **inputs_of, **options)
        return {"yi": found.yi[row], "vi": found.vi[row]}

    return numbers


LEFT_OUT["escalc_RTET"] = "metafor's Nelder-Mead stops 1e-5 from the optimum, which reproduces the table exactly (laws/test_effect_sizes.py)"
for measure in (*MEAN_EFFECTS, *COUNT_EFFECTS):
    offers(f"escalc_{measure}", "yi", "vi")(computed(measure))


def factor(correction: str):
    return lambda name, inputs: float(hedges_correction(np.array(numbers_in(inputs)[0]), correction))


METHODS["hedges_J_exact:J"] = factor("exact")
METHODS["hedges_J_exact:J_approx"] = factor("approximate")
