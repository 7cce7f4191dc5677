"""The trainings of a search in PyTorch, one thread: the same candidates, windows and epochs, held-out loss after each epoch.

    rnnstep search examples/data/sunspots.csv --journal j.json
    python benches/search_peer.py j.json examples/data/sunspots.csv target/release/rnnstep

First both train every candidate from the same weights for three epochs, and their best losses on the held-out rows must agree. Then
both are timed. Prints the candidates per second of both: of the journal's trainings in PyTorch, and of the complete command in
rnnstep, with the start of the process, the naive forecasts and the backtest over the test part. In both, a candidate that reaches
a higher rung continues its training. Needs torch and safetensors.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

torch.set_num_threads(1)
# rounding differs, and the difference grows from step to step: at a rate of 0.02 to a tenth of the loss in ten epochs. Hence few
# epochs, and this relative tolerance.
EPOCHS, TOLERANCE = 3, 0.005


def split(rows, fraction):
    return rows - int(rows * fraction + 0.5)


def form(values, name, season):
    lag = {"value": 0, "change": 1, "relative-change": 1, "seasonal-change": season}[name]
    before, now = values[: len(values) - lag], values[lag:]
    if name == "value":
        return values
    return (now - before) / before.abs() if name == "relative-change" else now - before


class Net(torch.nn.Module):
    def __init__(self, cell, hidden, layers):
        super().__init__()
        kind = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell]
        self.rnn = kind(1, hidden, layers)
        self.fc = torch.nn.Linear(hidden, 1)

    def forward(self, x, state=None):
        y, state = self.rnn(x, state)
        return self.fc(y), state


class Candidate:
    def __init__(self, about, values, first):
        words = about.split()
        option = dict(zip(words[::2], words[1::2]))
        self.option = option
        self.seq_len = int(option["seq-len"])
        series = form(values[:first], option["target-as"], 11)
        train = split(first, 0.2) - (first - len(series))  # rows are held out before changes are computed
        mean, std = series[:train].mean(), series[:train].std(correction=0)
        scaled = ((series - mean) / std).reshape(-1, 1, 1)
        self.x, self.held_out = scaled[:train], scaled
        self.train, self.epochs, self.best = train, 0, float("inf")
        self.windows = (train - 1) // self.seq_len
        self.net = Net(option["cell"], int(option["hidden"]), int(option["layers"]))
        self.optimizer = torch.optim.Adam(self.net.parameters(), float(option["lr"]))
        self.loss = torch.nn.MSELoss()

    def go_on(self, epochs):
        while self.epochs < epochs:
            state = None
            for k in range(self.windows):
                at = k * self.seq_len
                x, target = self.x[at : at + self.seq_len], self.x[at + 1 : at + self.seq_len + 1]
                y, state = self.net(x, state)
                state = tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()
                self.optimizer.zero_grad()
                self.loss(y, target).backward()
                self.optimizer.step()
            with torch.no_grad():  # keeps the weights that do best on the held-out rows
                y, _ = self.net(self.held_out[:-1])
                loss = float(self.loss(y[self.train - 1 :], self.held_out[self.train :]))
                if loss < self.best:
                    self.best, self.weights = loss, [p.clone() for p in self.net.parameters()]
            self.epochs += 1


def check(candidates, values, first, program):
    """Both train from the same weights; their best losses on the held-out rows must agree."""
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "part.csv")
        table.write_text("value\n" + "".join(f"{float(value)}\n" for value in values[:first]))
        for candidate in candidates:
            flags = [word for name, value in candidate.option.items() for word in (f"--{name}", value)]
            if candidate.option["target-as"] == "seasonal-change":
                flags += ["--season", "11"]
            train = [program, "train", table, *flags, "--no-plot", "--out", f"{folder}/m.safetensors"]
            # nothing is held out: otherwise a model that has learned nothing is written as one that predicts a constant
            subprocess.run([*train, "--steps", "0", "--val-fraction", "0"], check=True, capture_output=True)
            candidate.net.load_state_dict(load_file(f"{folder}/m.safetensors"))
            said = subprocess.run([*train, "--epochs", str(EPOCHS)], check=True, capture_output=True, text=True).stdout
            there = float(said.split("best loss on the held-out part ")[1].split(",")[0])
            candidate.go_on(EPOCHS)
            off = abs(candidate.best / there - 1)
            worst = max(worst, off)
            if off > TOLERANCE:
                sys.exit(f"{candidate.option}: loss {candidate.best} in PyTorch, {there} in rnnstep: nothing was timed")
    print(f"answers  {len(candidates)} candidates, {EPOCHS} epochs from the same weights: losses differ by at most {worst:.1e}")


def main():
    journal, data, program = sys.argv[1:4]
    lines = [json.loads(line) for line in Path(journal).read_text().splitlines()[1:]]
    values = torch.tensor([float(line.split(",")[-1]) for line in Path(data).read_text().splitlines()[1:]])
    first = split(split(len(values), 0.2), 0.2)
    torch.manual_seed(0)
    about = {line["candidate"]: line["about"] for line in lines}
    check([Candidate(text, values, first) for text in about.values()], values, first, program)
    start = time.perf_counter()
    candidates = {}
    for line in sorted(lines, key=lambda line: (line["epochs"], line["candidate"])):
        number = line["candidate"]
        candidates.setdefault(number, None)
        if candidates[number] is None:
            candidates[number] = Candidate(line["about"], values, first)
        candidates[number].go_on(line["epochs"])
    there = time.perf_counter() - start
    here = []
    for _ in range(5):
        with tempfile.TemporaryDirectory() as folder:
            command = [program, "search", data, "--tries", str(len(candidates)), "--out", f"{folder}/r.toml"]
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            here.append(time.perf_counter() - start)
    here = min(here)
    count = len(candidates)
    print(f"{count} candidates, {len(lines)} trainings, {sum(c.epochs for c in candidates.values())} epochs, one thread")
    print(f"rnnstep  {here:8.3f} s  {count / here:8.1f} candidates/s")
    print(f"PyTorch  {there:8.3f} s  {count / there:8.1f} candidates/s, {there / here:.0f} times as long")


main()
