"""Survival methods of one replicate, from the definitions: tables by time, partial likelihoods term by term, curves by redistribution."""

import numpy as np
from scipy.optimize import minimize

STEP = 1e-30


def log_rank(time, event, treated):
    """Excess of events among the treated and its hypergeometric variance."""
    excess, variance = 0.0, 0.0
    for t in np.unique(time[event]):
        at_risk, now = time >= t, (time == t) & event
        n, n_treated, d = at_risk.sum(), (at_risk & treated).sum(), now.sum()
        excess += (now & treated).sum() - d * n_treated / n
        if n > 1:
            variance += d * n_treated * (n - n_treated) * (n - d) / (n**2 * (n - 1))
    return excess, variance


def log_partial_likelihood(coefficients, time, event, matrix, ties="efron"):
    """Efron's: each of d tied events leaves a d-th part of their risk behind; Breslow's: none does. Complex numbers are welcome."""
    risk = np.exp(matrix @ coefficients)
    value = 0
    for t in np.unique(time[event]):
        now = (time == t) & event
        value += np.log(risk[now]).sum()
        for k in range(now.sum()):
            left = k / now.sum() if ties == "efron" else 0
            value -= np.log(risk[time >= t].sum() - left * risk[now].sum())
    return value


def gradient(coefficients, time, event, matrix, ties="efron"):
    risk = np.exp(matrix @ coefficients)
    value = np.zeros_like(coefficients, dtype=risk.dtype)
    for t in np.unique(time[event]):
        now = (time == t) & event
        for k in range(now.sum()):
            left = k / now.sum() if ties == "efron" else 0
            weight = risk * (time >= t) - left * risk * now
            value += matrix[now].mean(axis=0) - weight @ matrix / weight.sum()
    return value


def second_derivative(coefficients, *data):
    return np.array([gradient(coefficients + 1j * STEP * unit, *data).imag / STEP for unit in np.eye(coefficients.size)])


def maximum(*data):
    n = data[2].shape[1]
    coefficients = np.zeros(n)
    if n:
        coefficients = minimize(lambda b: -log_partial_likelihood(b, *data), coefficients, jac=lambda b: -gradient(b, *data), method="BFGS").x
        for _ in range(3):
            coefficients = coefficients - np.linalg.solve(second_derivative(coefficients, *data), gradient(coefficients, *data))
    return coefficients, log_partial_likelihood(coefficients, *data)


def cox(time, event, arm, active, covariates=(), tested=0, ties="efron"):
    """Estimate, standard error and signed root of the likelihood ratio of one coefficient."""
    kept = np.isin(arm, (0, active)) & np.isfinite(np.sum([time, *covariates], axis=0))
    columns = [(arm == active).astype(float), *covariates]
    columns.append(columns.pop(tested))
    matrix = np.column_stack(columns)[kept]
    data = time[kept], event[kept], matrix - matrix.mean(axis=0), ties
    coefficients, full = maximum(*data)
    null = maximum(*data[:2], data[2][:, :-1], ties)[1]
    variance = np.linalg.inv(-second_derivative(coefficients, *data))[-1, -1]
    return coefficients[-1], np.sqrt(variance), np.sign(coefficients[-1]) * np.sqrt(2 * max(full - null, 0.0))


def score_statistic(time, event, treated, ties="efron"):
    """Of the hypothesis that the hazard ratio is 1: squared score over information."""
    data = time, event, treated.astype(float)[:, np.newaxis], ties
    return gradient(np.zeros(1), *data)[0] ** 2 / -second_derivative(np.zeros(1), *data)[0, 0]


def masses(time, event):
    """Share of the events at each patient: those who are censored hand theirs to all who stay longer, in the order of time.

    The second part is what nobody is left to take, at the last time.
    """
    order = np.lexsort((~event, time))
    share, kept = np.full(time.size, 1 / time.size), np.zeros(time.size)
    left_over = 0.0
    for place, patient in enumerate(order):
        later = order[place + 1 :]
        if event[patient]:
            kept[patient] = share[patient]
        elif later.size:
            share[later] += share[patient] / later.size
        else:
            left_over = share[patient]
    return kept, left_over


def curve(time, event, week):
    """Height of the Kaplan-Meier curve at the week and area below it until then: shares whose event comes later, and mean time until then."""
    kept, left_over = masses(time, event)
    height = left_over + kept[time > week].sum()
    return height, left_over * week + (kept * np.minimum(time, week)).sum()


def variances(time, event, week):
    """Greenwood's of the height, and that of the area: squared areas to the right of each event time."""
    height = curve(time, event, week)[0]
    of_height, of_area = 0.0, 0.0
    for t in np.unique(time[event & (time <= week)]):
        n, d = (time >= t).sum(), ((time == t) & event).sum()
        right = curve(time, event, week)[1] - curve(time, event, t)[1]
        if n > d:
            of_height += height**2 * d / (n * (n - d))
            of_area += right**2 * d / (n * (n - d))
    return of_height, of_area
