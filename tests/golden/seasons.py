"""Series whose seasons are known, because they were made with them: seasons.safetensors.

    python tests/golden/seasons.py            # writes tests/golden/seasons.safetensors

Each tensor is a series [T]. Its entry in `seasons` has the numbers of rows in its seasons, none for a series that has no
season. A season has a shape (a sine, random levels, one peak, a step) with variance 1; noise of the given standard deviation
and a trend are added. The series of one season with a sine may be found a twentieth off: `near` lists them. Needs numpy and
safetensors.
"""

import json
import pathlib
import zlib

import numpy as np
import safetensors.numpy

FOLDER = pathlib.Path(__file__).parent
SHAPES = ["sine", "levels", "peak", "step"]
TRENDS = ["none", "linear", "walk", "growth"]
#: rows in a season, how many seasons; each comes with every shape, and with noise and trend in turn
SIZES = [(2, 30), (3, 20), (4, 12), (7, 20), (12, 6), (12, 15), (24, 10), (30, 6), (48, 20), (52, 5), (96, 6), (168, 5)]
NOISES = [0.0, 0.25, 0.5]
PAIRS = [(24, 168, 6), (7, 91, 8), (12, 60, 9)]


def bits(name):
    return np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))


def season(random, rows, shape, t):
    if shape == "sine":
        values = np.sin(2.0 * np.pi * (np.arange(rows) / rows + random.random()))
    elif shape == "levels":
        values = random.normal(size=rows)
    elif shape == "peak":
        values = (np.arange(rows) == random.integers(rows)).astype(float)
    else:
        values = (np.arange(rows) < max(1, round(rows * 5 / 7))).astype(float)
    return ((values - values.mean()) / values.std())[t % rows]


def trend(random, kind, t):
    rows = len(t)
    if kind == "linear":
        return 10.0 * t / rows
    if kind == "walk":
        return 0.1 * np.cumsum(random.normal(size=rows))
    if kind == "growth":
        return 3.0 * np.exp(2.0 * t / rows)
    return np.zeros(rows)


def single():
    number = 0
    for rows, times in SIZES:
        for shape in SHAPES:
            if rows == 2 and shape != "levels":
                continue  # all shapes are the same one
            noise, kind = NOISES[number % len(NOISES)], TRENDS[number // len(NOISES) % len(TRENDS)]
            name = f"{shape}_{rows}x{times}_{kind}_noise{noise}"
            random, t = bits(name), np.arange(rows * times)
            yield name, [rows], season(random, rows, shape, t) + trend(random, kind, t) + noise * random.normal(size=len(t))
            number += 1


def several():
    for short, long, times in PAIRS:
        for noise in (0.1, 0.5):
            name = f"levels_{short}_and_step_{long}_noise{noise}"
            random, t = bits(name), np.arange(long * times)
            both = season(random, short, "levels", t) + season(random, long, "step", t)
            yield name, [short, long], both + noise * random.normal(size=len(t))


def growing():
    for rows, times in ((7, 20), (12, 10), (24, 8)):
        name = f"growing_{rows}x{times}"
        random, t = bits(name), np.arange(rows * times)
        factors = 1.0 + 0.2 * season(random, rows, "levels", t) + 0.02 * random.normal(size=len(t))
        yield name, [rows], 100.0 * np.exp(1.5 * t / len(t)) * factors


def none():
    for rows in (60, 300):
        for name in ("noise", "walk", "autoregression"):
            noise = bits(f"{name} {rows}").normal(size=rows)
            values = np.cumsum(noise) if name == "walk" else noise
            if name == "autoregression":
                values = np.zeros(rows)
                for t in range(1, rows):
                    values[t] = 0.7 * values[t - 1] + noise[t]
            yield f"{name}_{rows}", [], values


def main():
    series, seasons = {}, {}
    for name, known, values in [*single(), *several(), *growing(), *none()]:
        series[name], seasons[name] = values.astype(np.float32), known
    case = {"name": "seasons", "seasons": seasons, "near": [name for name in seasons if name.startswith("sine")]}
    path = FOLDER / "seasons.safetensors"
    safetensors.numpy.save_file(series, path, {"case": json.dumps(case, sort_keys=True)})
    print(f"{path.stat().st_size:8}  {path.name}  {len(series)} series")


if __name__ == "__main__":
    main()
