"""A thousand series of a thousand rows: how long it takes to train a model for each, and to forecast and score each.

    python benches/many_series.py target/release/rnnstep [RUNS]

Writes a seeded table in long form, day after day for all series, into a folder that is removed again. Then times complete commands
on all cores: the median of RUNS (5 by default) and the slowest. The files must have the same bytes in every run. Needs only Python.
"""

import hashlib
import math
import os
import random
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from year_of_minutes import timed

SERIES, ROWS = 1000, 1000


def table(path):
    """Waves of 7 and 365 days and a level, each of its own size, and noise."""
    draw = random.Random(7)
    sizes = [(draw.uniform(10, 200), draw.uniform(1, 9), draw.uniform(1, 9), draw.uniform(0, 7)) for _ in range(SERIES)]
    with open(path, "w") as out:
        out.write("day,store,sales\n")
        for day in range(ROWS):
            for store, (level, week, year, phase) in enumerate(sizes):
                value = level + week * math.sin(2 * math.pi * (day + phase) / 7) + year * math.sin(2 * math.pi * day / 365)
                out.write(f"{day},store {store},{value + draw.gauss(0, 1):.3f}\n")


def main():
    rnnstep, runs = str(Path(sys.argv[1]).resolve()), int(sys.argv[2]) if len(sys.argv) > 2 else 5
    with tempfile.TemporaryDirectory() as folder:
        table(Path(folder, "sales.csv"))
        print(f"sales.csv: {SERIES} series of {ROWS} rows, {os.path.getsize(Path(folder, 'sales.csv')) / 1e6:.1f} MB")
        long = ["sales.csv", "--series", "store", "--column", "sales"]
        of_each = ["models", "sales.csv", "--series", "store"]
        for command in (
            ["train", *long, "--per-series", "--cell", "gru", "--epochs", "1"],
            ["evaluate", "sales.csv", "models", "--series", "store", "--out", "scores.csv"],
            ["predict", *of_each, "--out", "predictions.csv"],
            ["forecast", *of_each, "--steps", "30", "--out", "ahead.csv"],
        ):
            times, digests = [], set()
            for _ in range(runs):
                if command[0] == "train":
                    shutil.rmtree(Path(folder, "models"), ignore_errors=True)
                times.append(timed([rnnstep, *command], folder)[0])
                files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
                digests.add(hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest())
            if len(digests) > 1:
                sys.exit("two runs wrote different files")
            print(f"{statistics.median(times):8.3f} s median, {max(times):.3f} s slowest of {runs}    {' '.join(command)}")


if __name__ == "__main__":
    main()
