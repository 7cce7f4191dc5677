"""A year of minute bars, read, scaled and evaluated one step ahead: how long `rnnstep evaluate` takes.

    python benches/year_of_minutes.py target/release/rnnstep [RUNS]

Writes 500,000 seeded bars into a folder that is removed again, and trains a model on them for one epoch. Then times complete
commands, with the start of the process and the reading of the CSV: the median of RUNS (5 by default) and the slowest. The file was
written just before, so the disk is not timed. Every run must print the same. Needs only Python.
"""

import datetime
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROWS = 500_000
COLUMNS = "open,high,low,close,volume"


def bars(path):
    """A walk whose size of steps changes by the hour of the day, four steps a bar; volume goes with the range."""
    draw = random.Random(7)
    price, minute, start = 100.0, datetime.timedelta(minutes=1), datetime.datetime(2025, 1, 1)
    with open(path, "w") as out:
        out.write(f"time,{COLUMNS}\n")
        for row in range(ROWS):
            size = 2e-4 * (1.5 + math.sin(2 * math.pi * row / 1440))
            steps = [price]
            for _ in range(4):
                steps.append(steps[-1] * (1 + size * draw.gauss(0, 1)))
            low, high = min(steps), max(steps)
            volume = 1000 * math.exp(2000 * (high - low) / price * 0.5 + 0.3 * draw.gauss(0, 1))
            time_of = (start + row * minute).isoformat(timespec="minutes")
            out.write(f"{time_of},{price:.4f},{high:.4f},{low:.4f},{steps[-1]:.4f},{volume:.1f}\n")
            price = steps[-1]


def timed(command, folder):
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{' '.join(command[1:])}: {done.stderr}")
    return seconds, done.stdout


def main():
    rnnstep, runs = str(Path(sys.argv[1]).resolve()), int(sys.argv[2]) if len(sys.argv) > 2 else 5
    with tempfile.TemporaryDirectory() as folder:
        bars(Path(folder, "bars.csv"))
        print(f"bars.csv: {ROWS} rows of {COLUMNS}, {os.path.getsize(Path(folder, 'bars.csv')) / 1e6:.1f} MB")
        model = ["--cell", "lstm", "--target-as", "change", "--epochs", "1", "--batch", "32"]
        columns = ["--column", COLUMNS, "--target", "close"]
        train = ["train", "bars.csv", *columns, *model, "--no-plot"]
        seconds, _ = timed([rnnstep, *train], folder)
        print(f"{seconds:8.3f} s once    {' '.join(train)}")
        as_it_is = ["evaluate", "bars.csv", "model.safetensors"]
        for command in (
            as_it_is,
            [*as_it_is, "--test-fraction", "0.98"],
            [*as_it_is, "--learn"],
            ["evaluate", "bars.csv", *columns, *model],
        ):
            all_runs = [timed([rnnstep, *command], folder) for _ in range(runs)]
            times = [seconds for seconds, _ in all_runs]
            said = all_runs[0][1]
            if any(other != said for _, other in all_runs):
                sys.exit("two runs printed different results")
            middle, slowest = statistics.median(times), max(times)
            print(f"{middle:8.3f} s median, {slowest:.3f} s slowest of {runs}    {' '.join(command)}")
            lines = said.splitlines()
            for line in lines[:1] + [line for line in lines if line.startswith("close")]:
                print(f"           {line}")


if __name__ == "__main__":
    main()
