"""`simtrials quick`: each design runs its own example, says what the formula says, and tells mistakes in one sentence."""

import json
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest

from simtrials.cli.main import main
from simtrials.stats import closed_form

DESIGNS = [
    "means",
    "paired",
    "proportions",
    "ancova",
    "mmrm",
    "logistic",
    "survival",
    "noninferiority",
    "cluster",
    "interaction",
    "responder",
    "meta",
]
COMPOUND = np.full((4, 4), 0.6) + 0.4 * np.eye(4)

# words of the command line, and the formula that gives the same
SIZES = {
    "means --difference 3.4 --sd 7.5 --power 0.9": lambda: closed_form.t_test_sample_size(3.4, sd=7.5, power=0.9),
    "means --difference -3.4 --sd 7.5 --ratio 2": lambda: closed_form.t_test_sample_size(3.4, sd=7.5, allocation_ratio=2),
    "means --difference 0.5 --one-sided --alpha 0.025 --ratio 2:3": lambda: closed_form.t_test_sample_size(
        0.5, alpha=0.05, tails="benefit", allocation_ratio=2 / 3
    ),
    "proportions --active 0.5 --control 0.3": lambda: closed_form.proportions_sample_size(0.5, 0.3),
    "proportions --active 0.3 --control 0.5 --one-sided --test unpooled": lambda: closed_form.proportions_sample_size(
        0.7, 0.5, alpha=0.1, tails="benefit", test="unpooled"
    ),
    "ancova --difference 0.5 --correlation 0.6 --covariates 2": lambda: closed_form.ancova_sample_size(0.5, correlation=0.6, n_covariates=2),
    "mmrm --difference 0.5 --correlation 0.6 --dropout 0.3": lambda: closed_form.mmrm_sample_size(
        0.5, correlations=COMPOUND, retention_active=[1, 0.9, 0.8, 0.7]
    ),
    "mmrm --difference 0.5 --correlation 0.6 --structure ar1 --retention 1,0.8": lambda: closed_form.mmrm_sample_size(
        0.5, correlations=[[1, 0.6], [0.6, 1]], retention_active=[1, 0.8]
    ),
    "logistic --control 0.3 --odds-ratio 2": lambda: closed_form.logistic_sample_size(0.3, 2),
    "logistic --control 0.7 --odds-ratio 0.5 --one-sided": lambda: closed_form.logistic_sample_size(0.3, 2, alpha=0.1, tails="benefit"),
    "noninferiority --margin 0.5 --alpha 0.05": lambda: closed_form.noninferiority_t_sample_size(0, margin=0.5, one_sided_alpha=0.05),
    "noninferiority --active 0.85 --control 0.65 --margin 0.1 --alpha 0.05": lambda: closed_form.noninferiority_proportions_sample_size(
        0.85, 0.65, margin=0.1, one_sided_alpha=0.05
    ),
    "cluster --difference 0.4 --icc 0.05 --cluster-size 20": lambda: closed_form.cluster_sample_size(0.4, icc=0.05, patients_per_cluster=20),
    "interaction --difference 0.3": lambda: closed_form.interaction_sample_size(0.3),
    "interaction --difference 0.5 --share 0.3": lambda: closed_form.interaction_sample_size(0.5, marker_sd=np.sqrt(0.21), marker="fixed"),
    "responder --difference 0.5 --control 0.5": lambda: closed_form.proportions_sample_size(closed_form.responder_proportion(0.5, 0.5), 0.5),
}
NUMBERS = {
    "paired --difference 0.4": lambda: closed_form.paired_t_sample_size(0.4),
    "paired --difference 2 --sd 6 --correlation 0.5": lambda: closed_form.paired_t_sample_size(2, sd=6),
    "meta --difference 0.35 --per-arm 15 --tau 0.26": lambda: closed_form.meta_analysis_studies(
        0.35, n_active=15, n_control=15, tau2=0.26**2, test="hartung_knapp"
    ),
    "meta --difference 0.2 --per-arm 10 --test normal": lambda: closed_form.meta_analysis_studies(0.2, n_active=10, n_control=10),
}
POWERS = {
    "means --difference 0.5 --n 128": lambda: closed_form.t_test_power(0.5, n_active=64, n_control=64),
    "means --difference 0.5 --n 129 --ratio 2 --one-sided": lambda: closed_form.t_test_power(
        0.5, n_active=86, n_control=43, alpha=0.1, tails="benefit"
    ),
    "paired --difference 0.4 --n 52": lambda: closed_form.paired_t_power(0.4, n_pairs=52),
    "proportions --active 0.2 --control 0.1 --n 462 --ratio 2": lambda: closed_form.proportions_power(0.2, 0.1, n_active=308, n_control=154),
    "proportions --active 0.2 --control 0.1 --n 525 --ratio 1/2 --exact --one-sided --alpha 0.025": lambda: closed_form.enumerated_power(
        closed_form.pooled_z_rejection(175, 350, tails="benefit"), 0.2, 0.1
    ),
    "proportions --active 0.2 --control 0.6 --n 60 --test fisher": lambda: closed_form.enumerated_power(
        closed_form.fisher_rejection(30, 30), 0.6, 0.2
    ),
    "ancova --difference 0.5 --correlation 0.5 --n 128": lambda: closed_form.ancova_power(0.5, correlation=0.5, n_active=64, n_control=64),
    "mmrm --difference 0.5 --correlation 0.6 --n 100": lambda: closed_form.mmrm_power(
        0.5, correlations=COMPOUND, retention_active=np.ones(4), n_active=50, n_control=50
    ),
    "logistic --control 0.3 --odds-ratio 2 --n 300": lambda: closed_form.logistic_power(0.3, 2, n_active=150, n_control=150),
    "survival --hazard-ratio 0.5 --n 88": lambda: closed_form.log_rank_power(0.5, n_events=88),
    "survival --hazard-ratio 2 --n 88 --one-sided": lambda: closed_form.log_rank_power(0.5, n_events=88, alpha=0.1, tails="benefit"),
    "noninferiority --margin 0.5 --n 100 --alpha 0.05": lambda: closed_form.noninferiority_t_power(
        0, margin=0.5, n_active=50, n_control=50, one_sided_alpha=0.05
    ),
    "cluster --difference 0.4 --icc 0.05 --cluster-size 20 --n 20": lambda: closed_form.cluster_power(
        0.4, icc=0.05, patients_per_cluster=20, clusters_active=10, clusters_control=10
    ),
    "interaction --difference 0.3 --n 200": lambda: closed_form.interaction_power(0.3, n_active=100, n_control=100),
    "responder --difference 0.5 --control 0.5 --n 128": lambda: closed_form.proportions_power(
        closed_form.responder_proportion(0.5, 0.5), 0.5, n_active=64, n_control=64
    ),
    "meta --difference 0.2 --per-arm 10 --n 10 --test normal": lambda: closed_form.meta_analysis_power(0.2, k=10, n_active=10, n_control=10),
}
EXACT = {
    "proportions --active 0.5 --control 0.3 --exact": {"test": "pooled"},
    "proportions --active 0.5 --control 0.3 --exact --test unpooled": {"test": "unpooled"},
    "proportions --active 0.7 --control 0.3 --test fisher --one-sided": {"test": "fisher", "alpha": 0.1, "tails": "benefit"},
}


@pytest.fixture
def call(monkeypatch, capsys):
    """Runs the program in this process: exit code, what was printed, and what was said of mistakes."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["simtrials", *words])
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setenv("NO_COLOR", "1")
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return stopped.value.code or 0, printed.out, printed.err

    return run


@pytest.fixture
def values(call):
    def run(words):
        code, out, err = call("quick", *words.split(), "--json")
        assert code == 0, err
        assert err == ""
        return json.loads(out)

    return run


@pytest.mark.parametrize("design", DESIGNS)
def test_every_design_runs_its_own_example(call, design):
    code, out, _ = call("quick", design, "--help")
    assert code == 0
    assert "See also: " in out
    example = re.search(r"Example:\s+simtrials (quick .*?)\n\s*\n", out, flags=re.DOTALL)
    assert example, out
    words = shlex.split(example[1])
    assert words[1] == design
    code, out, err = call(*words)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert re.search(r"(power there|: power) \d+\.\d%$", lines[0])
    assert re.search(r"by the .*\d{4}.*assumed: ", " ".join(out.split()))
    assert max(map(len, lines)) <= 80
    code, quiet, _ = call(*words, "--quiet")
    assert quiet.splitlines() == lines[:1]
    assert json.loads(call(*words, "--json")[1])["question"] == design


def test_all_designs_are_listed(call):
    code, out, _ = call("quick")
    assert code == 0
    assert "Example:  simtrials quick means" in out
    for design in DESIGNS:
        assert re.search(rf"^  {design} ", out, flags=re.MULTILINE)


def test_simtrials_alone_names_it_under_plan_and_the_program_knows_it(call):
    assert re.search(r"Plan .*\n +simtrials quick ", call()[1])
    done = subprocess.run([sys.executable, "-m", "simtrials", "quick", "means", "--difference", "0.5"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "64 patients per arm, 128 in all; power there 80.1%"


@pytest.mark.parametrize("words", SIZES)
def test_sizes_of_two_arms_are_those_of_the_formula(values, words):
    found, size = values(words), SIZES[words]()
    assert (found["n_active"], found["n_control"], found["n"]) == (size.n_active, size.n_control, size.n_total)
    assert found["power"] == pytest.approx(float(size.power), rel=1e-12)
    assert found["power"] >= found["target_power"]
    assert isinstance(found["n"], int)


@pytest.mark.parametrize("words", NUMBERS)
def test_numbers_of_pairs_and_studies_are_those_of_the_formula(values, words):
    found, size = values(words), NUMBERS[words]()
    assert (found["n"], found["power"]) == (size.n, float(size.power))


@pytest.mark.parametrize("words", POWERS)
def test_powers_are_those_of_the_formula(values, words):
    found = values(words)
    assert found["power"] == pytest.approx(float(POWERS[words]()), rel=1e-12)
    assert found["target_power"] is None


@pytest.mark.parametrize("words", EXACT)
def test_exact_sizes_are_those_of_the_enumeration(values, words):
    active, control = (float(words.split()[place]) for place in (2, 4))
    found, size = values(words), closed_form.exact_proportions_sample_size(active, control, **EXACT[words])
    assert (found["n_active"], found["n_control"], found["power"]) == (size.n_per_arm, size.n_per_arm, float(size.power))


def test_events_are_whole_and_patients_follow_from_their_share(values):
    found = values("survival --hazard-ratio 0.5 --power 0.9 --event-share 0.3 --ratio 2")
    events = float(closed_form.log_rank_events(0.5, power=0.9, allocation_ratio=2))
    assert events <= found["n"] < events + 1
    assert found["n_patients"] % 3 == 0
    assert found["n"] <= found["n_patients"] * 0.3 < found["n"] + 0.3 * 3
    assert found["power"] >= 0.9


def test_a_responder_analysis_is_set_against_the_scores(call, values):
    words = "responder --difference 0.5 --control 0.5"
    found = values(words)
    assert found["n_of_scores"] == 128
    assert "or 128 in all for 80.1%" in " ".join(call("quick", *words.split())[1].split())


def test_unequal_arms_are_told_apart(call):
    out = call("quick", "means", "--difference", "0.5", "--ratio", "2")[1]
    size = closed_form.t_test_sample_size(0.5, allocation_ratio=2)
    assert out.startswith(f"{size.n_active:.0f} patients on active, {size.n_control:.0f} on control, {size.n_total:.0f} in all; power there ")


def test_power_is_never_0_or_100_by_rounding(call):
    assert call("quick", "means", "--difference", "2", "--n", "400")[1].splitlines()[0].endswith("power above 99.9%")


MISTAKES = {
    "means --difference 0.5 --n 128 --power 0.8": "--n and --power exclude each other",
    "means --difference 0": "--difference must differ from 0",
    "means --difference nan": "--difference must be a finite number",
    "means --difference 0.5 --sd 0": "--sd must be greater than 0, got 0",
    "means --difference 0.5 --sd -1": "--sd must be greater than 0, got -1",
    "means --difference 0.5 --power 80": "--power must lie strictly between 0 and 1, such as 0.8, got 80",
    "means --difference 0.5 --alpha 0": "--alpha must lie strictly between 0 and 1",
    "means --difference 0.5 --alpha 0.6 --one-sided": "--alpha must lie strictly between 0 and 0.5",
    "means --difference 0.5 --n 0": "--n must be at least 1",
    "means --difference 0.5 --n 2": "--n 2 is too few",
    "means --difference 0.5 --n 128 --ratio 2": "the nearest is 126 or 129",
    "means --difference 0.5 --n 1": "the nearest is 2",
    "means --difference 0.5 --ratio x": "--ratio must be active to control",
    "means --difference 0.5 --ratio 0.0001": "--ratio must be a ratio of whole numbers",
    "means --difference 0.0000001": "no number of patients up to 1,000,000,000",
    "means --difference 0.5 --n many": "Invalid value for '--n'",
    "means": "Missing option '--difference'",
    "paired --difference 0.5 --correlation 1": "--correlation must lie strictly between -1 and 1",
    "paired --difference 0.5 --correlation 0.5 --sd 0": "--sd must be greater than 0",
    "proportions --active 1.2 --control 0.3": "--active must lie strictly between 0 and 1, got 1.2",
    "proportions --active 0.2 --control 1.3": "--control must lie strictly between 0 and 1, got 1.3",
    "proportions --active 0.3 --control 0.3": "--active must differ from 0.3",
    "proportions --active 0.5 --control 0.3 --test poled": "--test: nothing is called 'poled'; did you mean 'pooled'?",
    "proportions --active 0.5 --control 0.3 --test arcsine --exact": "no exact power of 'arcsine'",
    "proportions --active 0.5 --control 0.3 --exact --ratio 2": "exact sizes are those of equal arms",
    "proportions --active 0.3001 --control 0.3 --exact": "--active 0.3001 and --control 0.3 are too close",
    "proportions --active 0.5 --control 0.3 --exact --n 100000": "enumerated up to 5,000 patients per arm",
    "ancova --difference 0.5 --correlation 1.5": "--correlation must lie strictly between -1 and 1",
    "ancova --difference 0.5 --correlation 0.5 --covariates -1": "--covariates must be at least 0",
    "mmrm --difference 0.5 --correlation 0.5 --retention 1,x": "--retention must be shares with commas",
    "mmrm --difference 0.5 --correlation 0.5 --retention 0.8,0.9": "--retention must not rise",
    "mmrm --difference 0.5 --correlation 0.5 --dropout 1": "--dropout must be at least 0 and below 1",
    "mmrm --difference 0.5 --correlation 0.5 --visits 0": "--visits must be 1 to 100",
    "mmrm --difference 0.5 --correlation -0.9": "--correlation of any two of 4 visits must be above -0.333, got -0.9",
    "mmrm --difference 0.5 --correlation 0.5 --structure ar2": "did you mean 'ar1'?",
    "logistic --control 0.3 --odds-ratio 1": "--odds-ratio must differ from 1",
    "logistic --control 0.3 --odds-ratio -1": "--odds-ratio must be greater than 0",
    "logistic --control 1 --odds-ratio 2": "--control must lie strictly between 0 and 1",
    "survival --hazard-ratio 1": "--hazard-ratio must differ from 1",
    "survival --hazard-ratio 0": "--hazard-ratio must be greater than 0",
    "survival --hazard-ratio 0.5 --event-share 2": "--event-share must be above 0 and at most 1",
    "noninferiority --margin 0": "--margin must be greater than 0",
    "noninferiority --margin 1 --difference -1": "no number of patients",
    "noninferiority --margin 0.1 --active 0.5": "--active and --control belong together",
    "noninferiority --margin 0.1 --active 0.5 --control 2": "--control must lie strictly between 0 and 1",
    "cluster --difference 0.4 --icc 2 --cluster-size 20": "--icc must be in [0, 1]",
    "cluster --difference 0.4 --icc 0.1 --cluster-size 0": "--cluster-size must be at least 1",
    "interaction --difference 0.4 --share 0.5 --marker-sd 1": "--marker-sd and --share exclude each other",
    "interaction --difference 0.4 --share 1": "--share must lie strictly between 0 and 1",
    "interaction --difference 0.4 --marker-sd 0": "--marker-sd must be greater than 0",
    "interaction --difference 0.4 --n 4": "too few",
    "responder --difference 0.4 --control 0": "--control must lie strictly between 0 and 1",
    "responder --difference 0.4 --control 0.3 --sd 0": "--sd must be greater than 0",
    "meta --difference 0.4 --per-arm 0": "--per-arm must be greater than 0",
    "meta --difference 0.4 --per-arm 20 --tau -1": "--tau must be at least 0",
    "meta --difference 0.4 --per-arm 20 --n 1": "--n 1 is too few",
    "meta --difference 0.4 --per-arm 20 --test knapp": "--test: nothing is called 'knapp'",
    "mean --difference 0.4": "No such command",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_mistakes_exit_with_2_and_one_sentence(call, words):
    code, out, err = call("quick", *words.split())
    assert code == 2
    assert out == ""
    assert MISTAKES[words] in " ".join(err.split())
    assert "Traceback" not in err
    if not err.startswith("Usage"):
        assert len(err.splitlines()) == 1
