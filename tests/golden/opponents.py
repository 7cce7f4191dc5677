"""Exponential smoothing and MSTL of statsmodels, for tests/series/opponents.rs: `pip install numpy statsmodels`, then run
this file.

Each case has a series, the number of training rows, the seasons, and the root mean squared errors of forecasts one row and
several rows ahead, over all rows after the training part. Parameters, first states and seasonal parts are fitted to the
training part alone; the states then take in row after row.
"""

import json
import warnings
from pathlib import Path

import numpy as np
from statsmodels.tsa.exponential_smoothing.ets import ETSModel
from statsmodels.tsa.seasonal import MSTL

AHEAD = 6
warnings.simplefilter("ignore")


def smoothed(values, train, trend=False, damped=False, season=0):
    """The fit to the training rows, and forecasts [origins][AHEAD] from each row from train - 1 on."""
    options = dict(error="add", trend="add" if trend else None, damped_trend=damped)
    if season:
        options |= dict(seasonal="add", seasonal_periods=season)
    fit = ETSModel(values[:train], **options).fit(disp=0, maxiter=5000)
    states = ETSModel(values, **options).smooth(fit.params)
    forecasts = []
    for origin in range(train - 1, len(values) - 1):
        level = states.level[origin]
        slope = states.slope[origin] if trend else 0.0
        phi = fit.params[list(fit.param_names).index("damping_trend")] if damped else 1.0
        ahead = []
        for h in range(1, AHEAD + 1):
            growth = slope * sum(phi**i for i in range(1, h + 1))
            # the newest estimate of the seasonal part of the row that is forecast
            part = states.season[origin + h - season * -(-h // season)] if season else 0.0
            ahead.append(level + growth + part)
        forecasts.append(ahead)
    return fit, np.array(forecasts)


def best(values, train, seasons):
    """The model with the smallest AICc."""
    found = []
    for season in [0] + seasons:
        for trend, damped in [(False, False), (True, False), (True, True)]:
            fit, forecasts = smoothed(values, train, trend, damped, season)
            found.append((fit.aicc, len(found), forecasts))
    return min(found)[2]


def decomposed(values, train, seasons):
    fit = MSTL(values[:train], periods=seasons, stl_kwargs=dict(seasonal_deg=0)).fit()
    parts = np.asarray(fit.seasonal).reshape(train, len(seasons))
    rows = len(values) + AHEAD
    season = np.zeros(rows)
    for part, period in zip(parts.T, seasons):
        season[:train] += part
        season[train:] += np.resize(part[-period:], rows - train)
    forecasts = best(values - season[: len(values)], train, [])
    for i, origin in enumerate(range(train - 1, len(values) - 1)):
        forecasts[i] += season[origin + 1 : origin + 1 + AHEAD]
    return forecasts


def errors(values, train, forecasts):
    def at(ahead):
        rows = range(train - 1, len(values) - ahead)
        return float(np.sqrt(np.mean([(forecasts[i, ahead - 1] - values[o + ahead]) ** 2 for i, o in enumerate(rows)])))

    return [at(1), at(AHEAD)]


def cases():
    random = np.random.default_rng(11)
    rows = np.arange(2000)
    noise = lambda count: random.normal(size=count)

    # a random walk seen through noise
    yield "ets", "level", np.cumsum(0.4 * noise(300)) + noise(300) + 20, 200, []
    slope = np.cumsum(0.02 * noise(300)) + 0.3
    yield "ets", "trend", np.cumsum(slope) + noise(300), 200, []
    season = np.tile([0, 4, 9, 7, 3, -2, -6, -3, 1, 5, 2, -1], 40) * 1.0
    yield "ets", "season", season[:300] + np.cumsum(0.3 * noise(300)) + noise(300), 220, [12]
    growing = 0.05 * rows[:240] + season[:240] + noise(240)
    yield "ets", "season and trend", growing, 180, [12]
    day, week = np.sin(2 * np.pi * rows / 24), np.sin(4 * np.pi * rows / 168) + (rows % 168 > 120)
    hours = 5 * day + 3 * week + np.cumsum(0.1 * noise(2000)) + 0.5 * noise(2000)
    yield "mstl", "day and week", hours[:1500], 1200, [24, 168]
    yield "mstl", "one season", growing, 180, [12]


if __name__ == "__main__":
    found = []
    for kind, name, values, train, seasons in cases():
        values = np.round(values, 3)
        forecasts = (best if kind == "ets" else decomposed)(values, train, seasons)
        one, several = errors(values, train, forecasts)
        print(kind, name, one, several)
        found.append(
            {
                "kind": kind,
                "name": name,
                "train": train,
                "seasons": seasons,
                "ahead": AHEAD,
                "rmse": [one, several],
                "values": [float(value) for value in values],
            }
        )
    Path(__file__).with_suffix(".json").write_text(json.dumps(found) + "\n")
