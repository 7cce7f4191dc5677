"""A forecast of 1,000 paths, 100 steps ahead, of an LSTM 32 in PyTorch, one thread, next to the same in rnnstep.

    cargo bench --bench bands --no-run
    python benches/bands_peer.py target/release/rnnstep examples/data/sunspots.csv

Trains a model in rnnstep and loads it in PyTorch. Without errors to draw, both must give the same forecast before anything is
timed. Then both are timed in turn: all paths are stepped together, an error is drawn for each and fed back, and the quantiles of
each step are taken. In rnnstep this is the bench `bands`. Needs torch and safetensors.
"""

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

PATHS, STEPS, RUNS, ROUNDS, TOLERANCE = 1000, 100, 20, 3, 1e-3

torch.set_num_threads(1)
torch.manual_seed(0)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.fc = torch.nn.LSTM(1, 32), torch.nn.Linear(32, 1)

    def forward(self, x, state=None):
        y, state = self.rnn(x, state)
        return self.fc(y), state


def paths(net, start, errors):
    y, state = start
    y, state = y.expand(1, PATHS, 1), tuple(part.expand(1, PATHS, 32).contiguous() for part in state)
    edges, out = torch.tensor([0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975]), []
    for step in range(STEPS):
        if step > 0:
            y, state = net(x, state)
        x = y + errors[torch.randint(len(errors), (1, PATHS, 1))]
        out.append(torch.quantile(x.flatten(), edges))
    return torch.stack(out)


@torch.no_grad()
def main(program, data):
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.safetensors"
        run = lambda *args: subprocess.run([program, *args], check=True, capture_output=True, text=True).stdout
        run("train", data, "--cell", "lstm", "--epochs", "20", "--no-plot", "--out", str(model))
        ahead = run("forecast", str(model), data, "--steps", str(STEPS))
        net = Net()
        net.load_state_dict(load_file(model))
        with safe_open(model, "pt") as file:
            about = json.loads(file.metadata()["rnnstep"])
    scaler = about["x_scaler"]
    shift, scale = scaler["shift"][0], scaler["scale"][0]
    values = [float(line.split(",")[-1]) for line in Path(data).read_text().splitlines()[1:]]
    y, state = net(((torch.tensor(values) - shift) / scale).reshape(-1, 1, 1))
    start = (y[-1:], state)
    ours = torch.tensor([float(line.split(",")[1]) for line in ahead.splitlines()[1:]])
    theirs = paths(net, start, torch.zeros(1)) * scale + shift
    off = ((theirs - ours[:, None]).abs().max() / scale).item()
    assert off < TOLERANCE, f"the forecasts differ by {off} deviations"
    print(f"answers   {STEPS} steps without errors: differ by at most {off:.1e} of a deviation")
    errors = torch.tensor(about["unseen"]["errors"])
    for _ in range(ROUNDS):
        paths(net, start, errors)
        times = []
        for _ in range(RUNS):
            begin = time.perf_counter()
            paths(net, start, errors)
            times.append(1e3 * (time.perf_counter() - begin))
        bench = subprocess.run(["cargo", "bench", "--bench", "bands"], check=True, capture_output=True, text=True).stdout
        here = next(line for line in bench.splitlines() if re.match(r"lstm\S* paths", line))
        median = float(re.search(r"p50 +([0-9.]+)", here)[1])
        theirs = statistics.median(times)
        print(f"rnnstep   {here}")
        print(f"PyTorch   {torch.__version__}: p50 {theirs:.2f} ms  max {max(times):.2f} ms, {theirs / median:.1f} times as long")


main(*sys.argv[1:3])
