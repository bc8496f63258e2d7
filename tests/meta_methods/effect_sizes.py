"""Effect sizes of the reference cases."""

import numpy as np

from meta_methods.cases import FOLDER, LEFT_OUT, METHODS, data, numbers_in, offers
from simtrials.stats.effect_sizes import MEAN_EFFECTS, EffectSizes, effect_sizes, hedges_correction
from simtrials.stats.effect_sizes_counts import COUNT_EFFECTS
from simtrials.stats.meta_analysis import meta_analysis

MOMENTS = {"mean_active": "m1i", "sd_active": "sd1i", "n_active": "n1i", "mean_control": "m2i", "sd_control": "sd2i", "n_control": "n2i"}
COUNTS = {"events_active": "ai", "n_active": "n1i", "events_control": "ci", "n_control": "n2i"}


def arguments_in(inputs: str) -> dict[str, str]:
    """{'vtype': 'LS'} of 'vtype=LS; row 1'."""
    return dict(part.split("=") for part in inputs.split("; ") if "=" in part)


def sizes(measure: str, name: str, inputs: str) -> EffectSizes:
    """Of all studies of a data set, by the rules named in the inputs."""
    given = arguments_in(inputs)
    prefix, columns = ("counts", COUNTS) if measure in COUNT_EFFECTS else ("raw", MOMENTS)
    table = data(f"{prefix if (FOLDER / 'datasets' / f'{prefix}_{name}.csv').exists() else 'raw'}_{name}")
    options = {"variance": given["vtype"]} if "vtype" in given else {}
    options |= {"to": given["to"], "add": float(given.get("add", 0.5))} if "to" in given else {}
    return effect_sizes(measure, **{argument: table[column].to_numpy(float) for argument, column in columns.items()}, **options)


def of_one_study(measure: str):
    def numbers(name: str, inputs: str) -> dict[str, float]:
        found, row = sizes(measure, name, inputs), int(inputs.rpartition("row ")[2]) - 1
        return {"yi": found.yi[row], "vi": found.vi[row]}

    return numbers


def pooled(measure: str, rule: str = ""):
    """REML after a rule for zero cells."""

    def numbers(name: str, inputs: str) -> dict[str, float]:
        found = sizes(measure, name, rule or inputs)
        fit = meta_analysis(found.yi, found.vi)
        return {"beta": fit.estimate, "se": fit.std_error, "tau2": fit.tau2, "k": fit.n_studies, "yi1": found.yi[0], "vi1": found.vi[0]}

    return numbers


LEFT_OUT["escalc_RTET"] = "metafor's Nelder-Mead stops 1e-5 from the optimum, which reproduces the table exactly (laws/test_effect_sizes.py)"
for measure in (*MEAN_EFFECTS, *COUNT_EFFECTS):
    offers(f"escalc_{measure}", "yi", "vi")(of_one_study(measure))

for measure in ("OR", "RR", "RD"):
    offers(f"rma_REML_{measure}", "beta", "se", "tau2", "k")(pooled(measure))
offers("TACC_OR", "beta", "se", "tau2", "yi1", "vi1")(pooled("OR", "to=treatment_arm"))


def factor(correction: str):
    return lambda name, inputs: float(hedges_correction(np.array(numbers_in(inputs)[0]), correction))


METHODS["hedges_J_exact:J"] = factor("exact")
METHODS["hedges_J_exact:J_approx"] = factor("approximate")
