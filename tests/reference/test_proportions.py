"""Two proportions against published examples, other software and plain twins; a table is events and size of the active, then the control arm."""

import numpy as np
import pytest
from double import proportions as double
from numpy.testing import assert_allclose
from scipy.special import gammaln

from simtrials.core.status import Status
from simtrials.stats import proportions as two
from simtrials.stats.proportions_exact import fisher_exact_test

CONTRASTS = ("risk_difference", "log_risk_ratio", "log_odds_ratio")
LIMIT = 1e-10  # a score limit is searched to 1e-12; rounding of the risks under the null adds to it
FOUR_DIGITS = 0.51e-4
THREE_DIGITS = 0.51e-3

# Newcombe (1998), Statistics in Medicine 17:873-890, Table II: 95 % limits by methods 5 (Mee), 6 (Miettinen and Nurminen) and 10 (hybrid score)
NEWCOMBE = {
    (56, 70, 48, 80): ((0.0533, 0.3377), (0.0528, 0.3382), (0.0524, 0.3339)),
    (9, 10, 3, 10): ((0.1821, 0.8370), (0.1700, 0.8406), (0.1705, 0.8090)),
    (6, 7, 2, 7): ((0.0544, 0.8478), (0.0342, 0.8534), (0.0582, 0.8062)),
    (5, 56, 0, 29): ((-0.0313, 0.1926), (-0.0326, 0.1933), (-0.0381, 0.1926)),
    (0, 10, 0, 20): ((-0.1611, 0.2775), (-0.1658, 0.2844), (-0.1611, 0.2775)),
    (0, 10, 0, 10): ((-0.2775, 0.2775), (-0.2879, 0.2879), (-0.2775, 0.2775)),
    (10, 10, 0, 20): ((0.7225, 1.0), (0.7156, 1.0), (0.6791, 1.0)),
    (10, 10, 0, 10): ((0.6777, 1.0), (0.6636, 1.0), (0.6075, 1.0)),
}


@pytest.mark.parametrize("table", NEWCOMBE, ids=str)
def test_intervals_of_newcombe_1998_table_2(table):
    mee, miettinen_nurminen, hybrid = NEWCOMBE[table]
    assert_allclose(limits(two.score_interval(*table, "risk_difference", variance_factor=False)), mee, rtol=0, atol=FOUR_DIGITS)
    assert_allclose(limits(two.score_interval(*table, "risk_difference")), miettinen_nurminen, rtol=0, atol=FOUR_DIGITS)
    assert_allclose(limits(two.risk_difference_newcombe_interval(*table)), hybrid, rtol=0, atol=FOUR_DIGITS)


def test_the_digits_of_table_2_tell_the_three_methods_apart():
    tables = np.array(list(NEWCOMBE)).T
    mee, miettinen_nurminen, hybrid = np.moveaxis(np.array(list(NEWCOMBE.values())), 1, 0)
    assert_some_disagree(two.score_interval(*tables, "risk_difference"), mee)
    assert_some_disagree(two.score_interval(*tables, "risk_difference", variance_factor=False), miettinen_nurminen)
    assert_some_disagree(two.wald_interval(two.risk_difference(*tables)), hybrid)


# Newcombe (1998), Table II, method 1, as reprinted with SAS output in https://www.lexjansen.com/wuss/2016/127_Final_Paper_PDF.pdf, page 9
@pytest.mark.parametrize(
    ("table", "printed"), [((56, 70, 48, 80), (0.0575, 0.3425)), ((9, 10, 3, 10), (0.2605, 0.9395)), ((10, 10, 0, 20), (1.0, 1.0))]
)
def test_wald_interval_of_newcombe_1998_table_2(table, printed):
    assert_allclose(limits(two.wald_interval(two.risk_difference(*table))), printed, rtol=0, atol=FOUR_DIGITS)


# Fagerland, Lydersen and Laake (2017), Statistical Analysis of Contingency Tables, chapter 4, with the values printed by its R package
# contingencytables 3.0.0: high against standard dose of epinephrine (Perondi 2004), CHRNA4 genotype (Ritland 2007), GADA exposure (Lampasona 2013)
PERONDI, RITLAND, LAMPASONA, TEA = (7, 34, 1, 34), (0, 16, 15, 72), (9, 13, 4, 14), (3, 4, 1, 4)


@pytest.mark.parametrize(
    ("interval", "printed"),
    [
        (two.wald_interval(two.risk_difference(*PERONDI)), (0.0292, 0.3238)),
        (two.score_interval(*PERONDI, "risk_difference", variance_factor=False), (0.0284, 0.3439)),
        (two.risk_difference_newcombe_interval(*PERONDI), (0.0189, 0.3404)),
        (two.score_interval(*RITLAND, "risk_difference"), (-0.3164, -0.0056)),
    ],
    ids=["Wald", "Mee", "Newcombe", "Miettinen-Nurminen"],
)
def test_intervals_of_the_difference_in_fagerland_2017(interval, printed):
    assert_allclose(limits(interval), printed, rtol=0, atol=FOUR_DIGITS)


@pytest.mark.parametrize(
    ("interval", "printed"),
    [
        (two.wald_interval(two.log_risk_ratio(*PERONDI)), (0.9096, 53.8695)),
        (two.score_interval(*PERONDI, "log_risk_ratio", variance_factor=False), (1.2209, 42.5757)),
        (two.score_interval(*PERONDI, "log_risk_ratio"), (1.2086, 43.0330)),
        (two.score_interval(*LAMPASONA, "log_odds_ratio"), (1.0934, 28.9419)),
        (two.score_interval(*RITLAND, "log_odds_ratio", variance_factor=False), (0.0, 0.9532)),
        (two.score_interval(1, 3, 0, 2, "log_risk_ratio", variance_factor=False), (None, np.inf)),
    ],
    ids=["Katz", "Koopman", "Miettinen-Nurminen ratio", "Miettinen-Nurminen odds", "uncorrected score odds", "no events in control"],
)
def test_intervals_of_ratios_in_fagerland_2017(interval, printed):
    for limit, value in zip(np.exp(limits(interval)), printed, strict=True):
        assert value is None or limit == value or abs(limit - value) < FOUR_DIGITS


def test_tests_of_fagerland_2017():
    assert_allclose(two.risk_difference_wald_test(*RITLAND).statistic, -4.353, rtol=0, atol=THREE_DIGITS)
    pearson = two.risk_difference_pooled_test(*TEA)
    assert_allclose(pearson.statistic**2, 2.0, rtol=1e-15)
    assert_allclose(pearson.p_value, 0.15730, rtol=0, atol=0.51e-5)
    assert_allclose(fisher_exact_test(*RITLAND).p_value, 0.06287, rtol=0, atol=0.51e-5)
    assert_allclose(fisher_exact_test(*RITLAND).mid_p_value, 0.04466, rtol=0, atol=0.51e-5)


# Fagerland and Newcombe (2013), Statistics in Medicine 32:2823-2836: asymptotic score intervals of the risk ratio and of the odds ratio
@pytest.mark.parametrize(
    ("table", "risk_ratio", "odds_ratio"),
    [
        ((24, 73, 53, 65), (0.280, 0.560), (0.050, 0.245)),
        ((29, 55, 11, 11), (0.397, 0.742), (0.0, 0.417)),
        ((7, 18, 1, 18), (1.296, 42.544), (1.416, 76.428)),
    ],
)
def test_score_intervals_of_fagerland_and_newcombe_2013(table, risk_ratio, odds_ratio):
    assert_allclose(np.exp(limits(two.score_interval(*table, "log_risk_ratio"))), risk_ratio, rtol=0, atol=THREE_DIGITS)
    assert_allclose(np.exp(limits(two.score_interval(*table, "log_odds_ratio"))), odds_ratio, rtol=0, atol=THREE_DIGITS)


# Without the factor N / (N - 1). Gart and Nam (1990), Biometrics 46:637-643; Gart and Nam (1988), Biometrics 44:323-338;
# Cornfield's limits in Gart and Thomas (1982), American Journal of Epidemiology 115:453-470. As tested in R package ratesci 0.4.
@pytest.mark.parametrize(
    ("table", "contrast", "printed"),
    [
        ((7, 25, 2, 25), "risk_difference", (-0.014, 0.412)),
        ((8, 15, 4, 15), "log_risk_ratio", (0.815, 5.336)),
        ((6, 10, 6, 20), "log_risk_ratio", (0.844, 4.594)),
        ((28, 51, 71, 230), "log_odds_ratio", (1.476, 5.035)),
    ],
)
def test_score_intervals_of_gart(table, contrast, printed):
    computed = limits(two.score_interval(*table, contrast, variance_factor=False))
    assert_allclose(computed if contrast == "risk_difference" else np.exp(computed), printed, rtol=0, atol=THREE_DIGITS)


# R package ratesci 0.4, scoreci(skew = FALSE, ORbias = FALSE, RRtang = FALSE, precis = 9), with and without bcf: nine decimals
RATESCI = {
    ("risk_difference", True): [(-0.033905675, 0.210430877), (-0.004787843, 0.231615098), (-0.062257982, 0.554924147), (0.010865754, 0.089039039)],
    ("risk_difference", False): [(-0.033584612, 0.210122907), (-0.003525557, 0.230517752), (-0.051837020, 0.547411031), (0.010875551, 0.089029290)],
    ("log_risk_ratio", True): [(0.878561273, 2.334625880), (0.950973708, np.inf), (0.924305594, 2.246808031), (1.040250375, 1.384939785)],
    ("log_risk_ratio", False): [(0.879626898, 2.331690004), (0.963465862, np.inf), (0.936845750, 2.209510325), (1.040287434, 1.384890122)],
    ("log_odds_ratio", True): [(0.839360163, 3.075496795), (0.947002100, np.inf), (0.702384918, np.inf), (1.055976480, 1.565430774)],
    ("log_odds_ratio", False): [(0.840740433, 3.070464894), (0.960492482, np.inf), (0.742136912, np.inf), (1.056028387, 1.565353831)],
}


@pytest.mark.parametrize(("contrast", "variance_factor"), RATESCI)
def test_score_intervals_of_ratesci(contrast, variance_factor):
    tables = np.array([(30, 100, 20, 95), (4, 40, 0, 35), (12, 12, 7, 9), (300, 1000, 250, 1000)]).T
    interval = two.score_interval(*tables, contrast, variance_factor=variance_factor)
    computed = np.transpose([interval.lower, interval.upper])
    expected = RATESCI[contrast, variance_factor]
    assert_allclose(computed if contrast == "risk_difference" else np.exp(computed), expected, rtol=0, atol=2e-9)


# R package metafor 3.8-1: escalc(measure, add = 1/2, to = "only0"), and for the difference add = 0; estimate and standard error
METAFOR_TABLES = [(4, 123, 11, 139), (0, 20, 3, 22), (5, 20, 0, 20), (10, 10, 7, 12), (0, 15, 0, 17), (12, 12, 9, 9), (30, 100, 20, 95)]
METAFOR = {
    "RR": [
        (-0.8893113339202, 0.5706003548930),
        (-1.8549383708496, 1.4814239694381),
        (2.3978952727984, 1.4444999434337),
        (0.5035263212844, 0.2464533642279),
        (0.1177830356564, 1.9702650695895),
        (0.0120725812343, 0.0913240437763),
        (0.3541718137206, 0.2506132828560),
    ],
    "OR": [
        (-0.938694140870, 0.597599324174),
        (-1.995920569630, 1.544596006987),
        (2.677480135018, 1.514963629483),
        (2.734367509420, 1.552542949612),
        (0.121360857004, 2.030186933801),
        (0.274436845702, 2.045791572447),
        (0.474457979595, 0.333095153000),
    ],
    "RD": [
        (-0.0466163654442, 0.0279297093586),
        (-0.1363636363636, 0.0731650049985),
        (0.2500000000000, 0.0968245836552),
        (0.4166666666667, 0.1423187606383),
        (0.0, 0.0),
        (0.0, 0.0),
        (0.0894736842105, 0.0620445498815),
    ],
}


def test_estimates_and_standard_errors_of_metafor():
    tables = np.array(METAFOR_TABLES).T
    for name, result in {
        "RR": two.log_risk_ratio(*tables, correction=0.5),
        "OR": two.log_odds_ratio(*tables, correction=0.5),
        "RD": two.risk_difference(*tables),
    }.items():
        assert_allclose(np.transpose([result.estimate, result.std_error]), METAFOR[name], rtol=0, atol=0.51e-12, err_msg=name)


# R 4.2.2: fisher.test(matrix)$p.value and prop.test(matrix, correct = FALSE)$statistic; 2/12 against 15/18 is the example of ?fisher.test
R_TESTS = {
    (3, 4, 1, 4): (0.485714285714286, 2),
    (7, 34, 1, 34): (0.0544001304950657, 5.1),
    (0, 16, 15, 72): (0.0628666646301093, 4.01826484018265),
    (56, 70, 48, 80): (0.0125211297492092, 7.02341137123746),
    (2, 12, 15, 18): (0.000536724119143436, 13.0316742081448),
    (5, 56, 0, 29): (0.160621443209471, 2.75111607142857),
    (10, 10, 0, 10): (1.0825088224469e-05, 20),
    (1, 10, 1, 10): (1, 0),
    (840, 3000, 1100, 5000): (1.8131888188614e-09, 36.7459426355006),
    (30, 5000, 55, 5000): (0.00855308770669238, 7.41597698080745),
    (2400, 5000, 2600, 5000): (6.87726439489187e-05, 16),
    (19, 100, 9, 100): (0.065213373039563, 4.15282392026578),
    (0, 12, 0, 9): (1, np.nan),
}


@pytest.mark.parametrize("table", R_TESTS, ids=str)
def test_fisher_and_pearson_of_r(table):
    fisher, pearson = R_TESTS[table]
    rounding = 10 * np.finfo(float).eps * gammaln(table[1] + table[3] + 1.0)  # eight log factorials, each rounded
    assert_allclose(fisher_exact_test(*table).p_value, fisher, rtol=rounding + 1e-14)
    assert_allclose(two.risk_difference_pooled_test(*table).statistic ** 2, pearson, rtol=1e-13)


# contingencytables 3.0.0, Fisher_midP_test_2x2; the first is Hwang and Yang (2001), Statistica Sinica 11:807-826, page 810 (p 0.486, mid-p 0.257)
@pytest.mark.parametrize(
    ("table", "printed", "unit"),
    [(TEA, 0.25714, 1e-5), (PERONDI, 0.02966, 1e-5), (LAMPASONA, 0.03914, 1e-5), (RITLAND, 0.04466, 1e-5), ((745, 748, 127, 129), 0.09193139, 1e-8)],
)
def test_mid_p_values_of_fagerland_2017(table, printed, unit):
    result = fisher_exact_test(*table)
    assert_allclose(result.mid_p_value, printed, rtol=0, atol=0.51 * unit)
    assert result.status == Status.OK


def test_lady_tasting_tea_in_fractions():
    """Three of four right: tables 0 and 4 have probability 1/70 each, tables 1 and 3 have 16/70 each."""
    result = fisher_exact_test(*TEA)
    assert_allclose([result.p_value[0], result.mid_p_value[0]], [34 / 70, 2 / 70 + 32 / 70 / 2], rtol=1e-13)


# plain twins written from the papers


@pytest.mark.parametrize("variance_factor", [True, False])
@pytest.mark.parametrize("contrast", CONTRASTS)
def test_score_intervals_agree_with_the_twin(contrast, variance_factor):
    tables = np.concatenate([varied(all_tables(6, 6)), varied(all_tables(10, 3)), [[40, 3, 31], [57, 200, 31], [10, 0, 29], [50, 80, 30]]], axis=1)
    interval = two.score_interval(*tables, contrast, variance_factor=variance_factor)
    expected = np.array([double.score_limits(table, contrast, 0.95, variance_factor) for table in columns(tables)])
    assert_allclose(np.transpose([interval.lower, interval.upper]), expected, rtol=0, atol=LIMIT)


def test_the_twin_tells_a_forgotten_factor():
    for contrast in CONTRASTS:
        lower, upper = double.score_limits((40, 57, 10, 50), contrast)
        wrong = two.score_interval(40, 57, 10, 50, contrast, variance_factor=False)
        assert abs(wrong.lower[0] - lower) > 1e-4
        assert abs(wrong.upper[0] - upper) > 1e-4


@pytest.mark.parametrize("contrast", CONTRASTS)
@pytest.mark.parametrize("null", [-0.6, -0.07, 0.0, 0.31])
def test_score_statistics_agree_with_the_twin_and_others_do_not(contrast, null):
    tables = varied(all_tables(6, 9))
    expected = np.array([double.STATISTICS[contrast](table, null) for table in columns(tables)])
    assert_allclose(two.score_test(*tables, contrast, null).statistic, expected, rtol=1e-10, atol=1e-12)
    finite = np.isfinite(two.risk_difference_wald_test(*tables, null=null).statistic)
    assert np.max(np.abs(two.risk_difference_wald_test(*tables, null=null).statistic - expected)[finite]) > 0.05


def test_newcombe_intervals_agree_with_the_twin():
    interval = two.risk_difference_newcombe_interval(*all_tables(7, 5), level=0.9)
    expected = np.array([double.newcombe_limits(table, 0.9) for table in columns(all_tables(7, 5))])
    assert_allclose(np.transpose([interval.lower, interval.upper]), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("estimate", "odds"), [(two.log_risk_ratio, False), (two.log_odds_ratio, True)])
@pytest.mark.parametrize("correction", [0.5, 0.25])
def test_log_ratios_agree_with_the_twin(estimate, odds, correction):
    result = estimate(*all_tables(7, 5), correction=correction)
    expected = np.array([double.log_ratio(table, odds, correction) for table in columns(all_tables(7, 5))])
    assert_allclose(np.transpose([result.estimate, result.std_error]), expected, rtol=1e-12, atol=1e-14)
    assert np.all(result.status == Status.OK)


@pytest.mark.parametrize(("n_active", "n_control"), [(1, 1), (4, 4), (12, 7), (30, 30)])
def test_fisher_agrees_with_fractions(n_active, n_control):
    tables = all_tables(n_active, n_control)
    result = fisher_exact_test(*tables)
    rounding = 10 * np.finfo(float).eps * max(gammaln(n_active + n_control + 1.0), 1.0)  # eight log factorials, each rounded
    assert_allclose(np.transpose([result.p_value, result.mid_p_value]), [double.fisher_p_values(table) for table in columns(tables)], rtol=rounding)


def test_fisher_takes_thousands_of_patients():
    result = fisher_exact_test([2400, 20_000, 0], [5000, 20_000, 50_000], [2600, 0, 1], [5000, 20_000, 50_000])
    assert_allclose(result.p_value[[0, 2]], [6.87726439489187e-05, 1.0], rtol=1e-9)  # R 4.2.2, fisher.test; one event must be somewhere
    assert result.p_value[1] == 0.0  # 2 / C(40000, 20000), below the smallest double


def all_tables(n_active, n_control):
    """Every table with these arm sizes, (4, replicate)."""
    active, control = np.indices((n_active + 1, n_control + 1)).reshape(2, -1)
    return np.array([active, np.full_like(active, n_active), control, np.full_like(active, n_control)])


def varied(tables):
    """The tables in which some have the event and some have not."""
    events = tables[0] + tables[2]
    return tables[:, (events > 0) & (events < tables[1] + tables[3])]


def columns(tables):
    return [tuple(int(count) for count in table) for table in tables.T]


def limits(interval):
    return interval.lower[0], interval.upper[0]


def assert_some_disagree(interval, printed):
    assert np.any(np.abs(np.transpose([interval.lower, interval.upper]) - printed) > FOUR_DIGITS)
