"""Autoregressions of statsmodels, for tests/series/autoregression.rs: `pip install numpy statsmodels`, then run this file.

Each case has a series, the rows between values whose changes are taken (0: none), the most lags, and what statsmodels finds:
the order with the smallest AIC over the same rows, and the forecasts of the next values of the series.
"""

import json
from pathlib import Path

import numpy as np
import statsmodels.api as sm
from statsmodels.tsa.ar_model import AutoReg, ar_select_order


def cases():
    random = np.random.default_rng(7)
    noise = lambda rows: random.normal(size=rows)

    def filtered(coefficients, rows, start=0.0):
        values = [start] * len(coefficients)
        for e in noise(rows):
            values.append(sum(a * values[-1 - i] for i, a in enumerate(coefficients)) + e)
        return np.array(values)

    yield "two lags", filtered([1.2, -0.5], 200) + 30, 0, 10
    yield "far from 0", filtered([0.7], 150) + 1e9, 0, 10
    yield "walk", np.cumsum(noise(180)) * 0.01 + 5, 1, 12
    yield "walk of changes", np.cumsum(filtered([0.8, -0.3], 160)), 1, 12
    season = np.tile([0, 4, 9, 7, 3, -2, -6, -3, 1, 5, 2, -1], 20) * 3.0
    yield "season", season + np.cumsum(noise(240)) * 0.3, 12, 14
    yield "season and lags meet", season[:140] + filtered([0.6], 139), 12, 14
    yield "sunspots", sm.datasets.sunspots.load_pandas().data["SUNACTIVITY"].values, 0, 20
    yield "few rows", filtered([0.5], 30), 0, 20
    yield "white noise", noise(100), 0, 20


def with_holes():
    """Cases of which some values are missing: those are not fitted to, and as a lag the last value stands in their place."""
    random = np.random.default_rng(11)
    for name, values, difference, most in cases():
        if name in ("two lags", "walk", "season and lags meet"):
            missing = random.random(len(values)) < 0.2
            missing[:3] = False
            yield f"{name}, with holes", values, difference, most, missing


def fitted_to_known(changes, lags, known):
    """The coefficients of the order with the smallest AIC, the constant first."""
    rows = [t for t in range(lags, len(changes)) if known[t]]
    best = None
    for order in range(1, lags + 1):
        x = sm.add_constant(np.array([[changes[t - i] for i in range(1, order + 1)] for t in rows]))
        fit = sm.OLS(np.array([changes[t] for t in rows]), x).fit()
        if best is None or fit.aic < best.aic:
            best = fit
    return best.params


found = []
for name, values, difference, most, missing in with_holes():
    values = np.round(values, 6)
    carried = list(values)
    for t in np.flatnonzero(missing):
        carried[t] = carried[t - 1]
    carried = np.array(carried)
    changes = carried[difference:] - carried[:-difference] if difference else carried
    lags = max(1, min(most, 40, len(changes) // 10))
    constant, *coefficients = fitted_to_known(changes, lags, ~missing[difference:])
    ahead, rest = list(carried), list(changes)
    for _ in range(3):
        rest.append(constant + sum(a * rest[-1 - i] for i, a in enumerate(coefficients)))
        ahead.append(rest[-1] + (ahead[-difference] if difference else 0.0))
    found.append(
        {
            "name": name,
            "difference": difference,
            "most": most,
            "values": [None if hole else float(value) for value, hole in zip(values, missing)],
            "coefficients": [float(a) for a in coefficients],
            "ahead": [float(value) for value in ahead[-3:]],
        }
    )
for name, values, difference, most in cases():
    values = np.round(values, 6)
    changes = values[difference:] - values[:-difference] if difference else values
    # around their mean, so that the regression loses no digits far from 0
    mean = changes.mean()
    changes = changes - mean
    lags = max(1, min(most, 40, len(changes) // 10))
    order = len(ar_select_order(changes, maxlag=lags, ic="aic", trend="c", glob=False).ar_lags or [])
    # at least one lag, as in rnnstep
    fit = AutoReg(changes, lags=max(order, 1), trend="c", hold_back=lags).fit()
    steps = fit.predict(start=len(changes), end=len(changes) + 2)
    ahead = list(values)
    for step in steps:
        ahead.append(float(step) + mean + (ahead[-difference] if difference else 0.0))
    found.append(
        {
            "name": name,
            "difference": difference,
            "most": most,
            "values": [float(value) for value in values],
            "coefficients": [float(a) for a in fit.params[1:]],
            "ahead": [float(value) for value in ahead[-3:]],
        }
    )
Path(__file__).with_suffix(".json").write_text(json.dumps(found) + "\n")
