"""Write the tables of docs/validation.md from the checks themselves: PYTHONPATH=tests python -m statistical.make_validation

Every check is run once, with the seed and the number of replicates that its name and its wrong versions fix; a check that fails is run once more
with ten times the replicates, and both results are written down.
"""

import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from statistical import cases_missing, test_allocation, test_estimates, test_levels, test_next_trial, test_trial_cases, test_truth
from statistical.cases_ancova import RHOS, four_analyses
from statistical.cases_missing import WAYS
from statistical.exact import madrs
from statistical.helpers import FEWEST, TOLERANCE, Check, flagship_run, rejection, simulate, standard_error_under

from simtrials.engine.result import Run
from simtrials.stats import closed_form

PAGE = Path(__file__).parents[2] / "docs" / "validation.md"
REPEATED: list[str] = []
"""Checks that failed once, with both results."""


def table(header: list[str], rows: Iterable[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def number(value: float | None, digits: int = 4) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def away(simulated: float, exact: float, std_error: float) -> str:
    """Distance in standard errors."""
    return f"{(simulated - exact) / std_error:+.1f}"


def result(check: Check) -> list[str]:
    """Exact value, simulated value with its standard error, distance, replicates; a failure is repeated once."""
    simulated, std_error = check.simulated(), check.std_error
    if abs(simulated - check.exact) >= TOLERANCE * std_error:
        longer = check.ten_times()
        again = longer.simulated()
        both = f"{simulated:.5f} ({check.n_replicates:,} replicates), then {again:.5f} ({longer.n_replicates:,})"
        REPEATED.append(f"{check.name}: exact {check.exact:.5f}, simulated {both}")
    shown = f"{number(simulated)} ({number(std_error)})"
    return [number(check.exact), shown, away(simulated, check.exact, std_error), f"{check.n_replicates:,}"]


def wrong_versions(check: Check) -> str:
    return "; ".join(f"{name} {number(value)}" for name, value in check.wrong.items())


def rows() -> str:
    header = ["row", "test", "published or formula", "exact", "by", "simulated (SE)", "SE away", "replicates", "wrong versions, at least 8 SE away"]
    made = []
    for check in test_trial_cases.ROWS:
        exact, *simulated = result(check)
        made.append([check.name, check.design, number(check.published), exact, check.method, *simulated, wrong_versions(check)])
    return table(header, made)


def left_out() -> str:
    return table(["row", "why"], ([row, why] for row, why in test_trial_cases.LEFT_OUT.items()))


def order() -> str:
    header = ["correlation of baseline and end", "ANCOVA", "change", "end score", "percent change"]
    made = []
    for rho in RHOS:
        found = simulate(four_analyses(rho), FEWEST)
        made.append([str(rho), *(number(rejection(name)(found)) for name in ("ancova", "change", "post", "percent"))])
    return table(header, made)


def gaps() -> str:
    """Formulas beside the exact power of the test they are meant for."""
    made = []
    for check in test_trial_cases.ROWS:
        stated = {
            "B01": "pooled-z formula",
            "B07": "pooled-z formula (also Stata)",
            "B11 525": "pooled-z formula",
            "B11 489": "pooled-z formula",
            "B13": "Wald formula, variance under the alternative",
            "B15": "pooled-z formula",
            "B19": "pooled-z formula",
            "A01": "fixed covariate (G*Power)",
            "A05": "fixed covariate",
            "I01": "fixed predictors (G*Power)",
            "I07 all": "mixture taken for one normal",
            "T14": "published simulation, 200,000 replicates",
        }
        if check.name in stated:
            made.append([check.name, stated[check.name], number(formula_of(check)), number(check.exact), number(formula_of(check) - check.exact)])
    for row, (r_squared, q, n) in {"A02q3": (0.01, 3, 66), "A02q10": (0.01, 10, 72), "A03q3": (0.81, 3, 18), "A03q10": (0.81, 10, 27)}.items():
        design = {"n_per_group": n / 3, "sd": 100, "correlation": np.sqrt(r_squared), "n_covariates": q}
        published, exact = (float(closed_form.ancova_f_power([400, 450, 500], **design, covariates=kind)) for kind in ("shieh", "random"))
        made.append([row, "Shieh 2020", number(published), number(exact), number(published - exact)])
    return table(["row", "formula", "its value", "exact", "difference"], made)


def formula_of(check: Check) -> float:
    values = {
        "B01": lambda: closed_form.proportions_power(0.5, 0.3, n_active=93, n_control=93),
        "B07": lambda: closed_form.proportions_power(0.2, 0.1, n_active=308, n_control=154),
        "B11 525": lambda: closed_form.proportions_power(0.2, 0.1, n_active=175, n_control=350),
        "B11 489": lambda: closed_form.proportions_power(0.2, 0.1, n_active=163, n_control=326),
        "B13": lambda: closed_form.logistic_power(0.3, 1.5, n_active=426.5, n_control=426.5),
        "B15": lambda: closed_form.proportions_power(closed_form.responder_proportion(0.5, 0.5), 0.5, n_active=64, n_control=64),
        "B19": lambda: closed_form.proportions_power(0.4, 0.25, n_active=152, n_control=152),
        "A05": lambda: closed_form.ancova_power(0.5, correlation=0.5, n_active=64, n_control=64, covariates="fixed"),
        "I07 all": lambda: closed_form.t_test_power(0.2, n_active=100, n_control=100),
    }
    return float(values[check.name]()) if check.name in values else float(check.published or np.nan)


def far_tail() -> str:
    """Rows of SAS's table with 100 patients, where the far tail matters most."""
    made = []
    for effect, alpha in ((5, 0.05), (6, 0.05), (5, 0.1), (6, 0.1)):
        both, near = (float(closed_form.t_test_power(effect, sd=18, n_active=50, n_control=50, alpha=alpha, tails=t)) for t in ("both", "benefit"))
        made.append([f"difference {effect}, SD 18, 50 + 50, alpha {alpha:g}", number(both), number(near)])
    return table(["t test", "both tails (SAS, simtrials)", "near tail only (R power.t.test)"], made)


def levels(run: Run) -> str:
    header = ["test, without effect", "level expected", "by", "simulated (SE)", "SE away", "replicates"]
    made = []
    expected = dict.fromkeys(("severity", "anhedonia", "response_logistic"), (0.05, "nominal"))
    expected |= {name: (test_levels.enumerated_level(risk), "enumeration") for name, risk in test_levels.RISKS.items()}
    for name, (exact, how) in expected.items():
        found = run.measure(name, "rejection", "null")
        std_error = standard_error_under(exact, found.n_replicates)
        shown = f"{number(found.value)} ({number(std_error)})"
        made.append([f"next_trial, {name}", number(exact), how, shown, away(found.value, exact, std_error), f"{found.n_replicates:,}"])
    for name, found in test_levels.longer().judged.items():
        share, std_error = float(found.rejected.mean()), standard_error_under(0.05, test_levels.LONGER)
        shown = f"{number(share)} ({number(std_error)})"
        made.append([f"next_trial, {name}, longer", number(0.05), "nominal", shown, away(share, 0.05, std_error), f"{test_levels.LONGER:,}"])
    for check in (test_levels.LATTICE, *test_allocation.LEVELS):
        exact, *simulated = result(check)
        made.append([check.design, exact, check.method, *simulated])
    return table(header, made)


def flagship(run: Run) -> str:
    header = ["next_trial", "independent calculation", "simtrials (MCSE)"]
    made = []
    for name, (_, theirs, theirs_pattern, _) in test_next_trial.INDEPENDENT.items():
        found, pattern, n = test_next_trial.powers(name, run)
        for analysis, power in zip(test_next_trial.ANALYSES, theirs, strict=True):
            made.append([f"{name}: power, {analysis}", number(power, 3), with_error(found[analysis], n)])
        made.append([f"{name}: both symptom outcomes, neither binary one", number(theirs_pattern, 3), with_error(pattern, n)])
    for analysis, level in test_next_trial.LEVELS.items():
        found = run.measure(analysis, "rejection", "null")
        made.append([f"12% lost, no effect: significant, {analysis}", number(level), with_error(found.value, found.n_replicates)])
    return table(header, made)


def with_error(share: float, n: int) -> str:
    return f"{number(share)} ({number(float(np.sqrt(share * (1 - share) / n)))})"


def losses() -> str:
    """Levels of ways of dealing with loss that differs by arm."""
    header = ["analysis, drug without effect", *(f"{endpoint}, {mechanism}" for endpoint in cases_missing.ENDPOINTS for mechanism in ("MAR", "MNAR"))]
    found = {
        (endpoint, mechanism): cases_missing.levels(endpoint, mechanism) for endpoint in cases_missing.ENDPOINTS for mechanism in ("mar", "mnar")
    }
    return table(header, ([name, *(with_error(float(one[name].rejected.mean()), cases_missing.N_LEVELS) for one in found.values())] for name in WAYS))


def reference_based() -> str:
    header = [
        "assumption after stopping",
        "closed form",
        "mean estimate",
        "SD of estimates",
        "mean SE: Rubin; jackknife",
        "coverage: Rubin; jackknife",
    ]
    found, made = cases_missing.reference_based(), []
    for name in cases_missing.ASSUMPTIONS:
        truth, pair = cases_missing.closed_form(name), [found[f"{way} {name}"] for way in ("rubin", "jackknife")]
        covered = [float(((one.lower < truth) & (truth < one.upper)).mean()) for one in pair]
        made.append(
            [
                name.replace("_", " "),
                number(truth, 2),
                number(float(pair[1].estimate.mean()), 2),
                number(float(pair[1].estimate.std()), 2),
                "; ".join(number(float(one.std_error.mean()), 2) for one in pair),
                "; ".join(number(share, 3) for share in covered),
            ]
        )
    return table(header, made)


def published_losses() -> str:
    header = ["row", "patients", "published", "simulated (SE)", "formula (Lu, Luo and Chen)"]
    made = []
    for row, (effect, correlations, (n_active, active), (n_control, control), published) in cases_missing.PUBLISHED.items():
        formula = closed_form.mmrm_power(
            effect,
            correlations=correlations,
            retention_active=cases_missing.RETENTION[active],
            retention_control=cases_missing.RETENTION[control],
            n_active=n_active,
            n_control=n_control,
            tails="benefit",
        )
        shown = with_error(cases_missing.published_power(row), cases_missing.N_PUBLISHED)
        made.append([row, f"{n_active} + {n_control}", number(published, 3), shown, number(float(formula))])
    return table(header, made)


def patients(run: Run) -> str:
    exact, simulated = test_next_trial.facts(test_next_trial.SURVEY), test_next_trial.facts_simulated(run)
    made = []
    for fact, (published, rounding) in test_next_trial.PUBLISHED.items():
        value, std_error = simulated[fact]
        digits = 3 if rounding < 0.001 else 2
        made.append(
            [fact, number(published, digits), number(exact[fact]), f"{number(value)} ({number(std_error)})", away(value, exact[fact], std_error)]
        )
    return table(["of the enrolled", "independent calculation", "exact integration", "simulated (SE)", "SE away"], made)


def scores() -> str:
    header = ["placebo fall", "response, remission: independent", "exact", "2.93 points more: independent", "exact"]
    made = []
    for fall, values in test_next_trial.FALLS.items():
        pairs = [values[:2], madrs(fall).both(), values[2:], madrs(fall + test_next_trial.SHIFT).both()]
        made.append([f"{fall:g}", *(", ".join(number(v, 3 if i % 2 == 0 else 4) for v in pair) for i, pair in enumerate(pairs))])
    return table(header, made)


def shapes() -> str:
    made = []
    for name, (_, _, *published) in test_next_trial.SHAPES.items():
        exact = test_next_trial.exact_g(name).values()
        made.append([name, *(f"{number(p, 2)}; {number(e)}" for p, e in zip(published, exact, strict=True))])
    return table(["shape in usual CRP", "mean g in everybody: independent; exact", "measured CRP below 2: independent; exact"], made)


def intervals() -> str:
    header = ["interval, nominal 95%", "exact coverage", "simulated (SE)", "SE away", "replicates", "wrong versions, at least 8 SE away"]
    return table(header, ([check.name, *result(check), wrong_versions(check)] for check in test_estimates.INTERVAL_CHECKS))


def true_values() -> str:
    seeds = [test_truth.truth_of(test_truth.correlated(test_truth.seed_of(f"seed {i}"))) for i in range(test_truth.N_SEEDS)]
    made = []
    for name, exact in test_truth.contrasts(0.5, 0.3).items():
        values, errors = (np.array([getattr(found[name], field) for found in seeds]) for field in ("value", "std_error"))
        made.append(
            [name, number(exact, 5), number(values.mean(), 5), number(errors.mean(), 5), number(float(np.sqrt(np.mean((values - exact) ** 2))), 5)]
        )
    return table(["truth from forced arms, .5 against .3", "exact", "mean over 40 seeds", "standard error claimed", "root mean square error"], made)


def repeated() -> str:
    return "\n".join(f"- {line}" for line in REPEATED) if REPEATED else "No check failed its first run, so none was repeated."


def write() -> None:
    """Put each table between its two comments on the page."""
    with tempfile.TemporaryDirectory() as folder:
        run = flagship_run(Path(folder))
        made = {"levels": levels(run), "flagship": flagship(run), "patients": patients(run)}
    made |= {"rows": rows(), "left out": left_out(), "order": order(), "gaps": gaps(), "far tail": far_tail()}
    made |= {"scores": scores(), "shapes": shapes(), "intervals": intervals(), "true values": true_values()}
    made |= {"losses": losses(), "reference based": reference_based(), "published losses": published_losses()}
    made |= {"repeated": repeated()}
    text = PAGE.read_text(encoding="utf-8")
    for name, content in made.items():
        text, n = re.subn(rf"(<!-- {name} -->\n).*?(<!-- end -->)", lambda found, c=content: f"{found[1]}{c}\n{found[2]}", text, flags=re.DOTALL)
        assert n == 1, f"the page has no place for {name!r}"
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
