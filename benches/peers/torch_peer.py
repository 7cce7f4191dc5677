"""PyTorch from Python, as most people train with it: `torch_peer.py FOLDER` prints a line of JSON for each result."""
import json
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from nets import read_nets

QUICK = "PEERS_QUICK" in os.environ
THREADS = int(os.environ.get("PEERS_THREADS", "1"))
SAMPLES = 5 if QUICK else 30
RATE = 0.01
LESSON_STEPS, LESSON_WINDOW = 75, 20


class Module(nn.Module):
    """The lesson's class: x [T,B,I] and a state in, y [T,B,1] and the next state out."""

    def __init__(self, net):
        super().__init__()
        kind = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[net.cell]
        self.recurrent = kind(net.input, net.hidden, net.layers)
        self.head = nn.Linear(net.hidden, 1)
        with torch.no_grad():
            for parameter, tensor in zip(self.parameters(), net.tensors(), strict=True):
                parameter.copy_(torch.from_numpy(tensor))

    def forward(self, x, state=None):
        out, state = self.recurrent(x, state)
        return self.head(out), state


def detached(state):
    return tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()


def wanted(workload):
    parts = [part for part in os.environ.get("PEERS_WORKLOADS", "").split(",") if part]
    return not parts or any(part in workload for part in parts)


def usual(work):
    """ns of one call: the median of thirty samples, as criterion takes them; of five if PEERS_QUICK is set."""

    def sample(calls):
        start = time.perf_counter_ns()
        for _ in range(calls):
            work()
        return (time.perf_counter_ns() - start) / calls

    once = sample(1)
    sample(max(1, int((2e7 if QUICK else 1e8) / once)))
    calls = max(1, int((3e7 if QUICK else 2.5e8) / SAMPLES / once))
    return statistics.median(sample(calls) for _ in range(SAMPLES))


def show(workload, variant, error, ns, **rest):
    line = dict(workload=workload, peer="PyTorch", variant=variant, threads=THREADS, error=error, ns=ns, **rest)
    print(json.dumps(line), flush=True)


def step(net):
    workload = f"{net.cell}_step/{net.size}"
    module, state, xs = Module(net).eval(), None, torch.from_numpy(net.x())
    y = []
    with torch.inference_mode():
        for t in range(net.steps):
            found, state = module(xs[t : t + 1], state)
            y.append(found.item())
        error = float(np.abs(np.array(y) - net.y().ravel()).max())
        t = 0

        def one():
            nonlocal t, state
            t = (t + 1) % net.steps
            found, state = module(xs[t : t + 1], state)
            return found.item()

        ns, times = usual(one), []
        for _ in range(int(1.5e8 / ns) + 1):
            start = time.perf_counter_ns()
            one()
            times.append(time.perf_counter_ns() - start)
    times.sort()
    at = [times[int((len(times) - 1) * share)] for share in (0.5, 0.99, 0.999, 1)]
    show(workload, "nn, Python", error, ns, **dict(zip(("p50", "p99", "p99.9", "max"), at, strict=True)))


def forward(net):
    module, x = Module(net).eval(), torch.from_numpy(net.x())
    with torch.inference_mode():
        error = float(np.abs(module(x)[0].numpy() - net.y()).max())
        show(f"{net.cell}_forward/{net.size}", "nn, Python", error, usual(lambda: module(x)))


def training(net, fused):
    module, x, target = Module(net), torch.from_numpy(net.x()), torch.from_numpy(net.target())
    adam = torch.optim.Adam(module.parameters(), lr=RATE, fused=fused)

    def one():
        loss = nn.functional.mse_loss(module(x)[0], target)
        adam.zero_grad()
        loss.backward()
        adam.step()
        return loss.item()

    error = abs(one() / net.loss() - 1)
    show(f"{net.cell}_train/{net.size}", "nn, Python, fused Adam" if fused else "nn, Python", error, usual(one))


def lesson(net, fused):
    def whole():
        module, state, losses = Module(net), None, []
        adam = torch.optim.Adam(module.parameters(), lr=RATE, fused=fused)
        for k in range(LESSON_STEPS):
            wave = np.sin(np.linspace(k * np.pi, (k + 1) * np.pi, LESSON_WINDOW + 1)).astype(np.float32)
            x, target = (torch.from_numpy(part).view(-1, 1, 1) for part in (wave[:-1], wave[1:]))
            y, state = module(x, state)
            state = detached(state)
            loss = nn.functional.mse_loss(y, target)
            adam.zero_grad()
            loss.backward()
            adam.step()
            losses.append(loss.item())
        return losses

    losses = whole()
    # if nothing was learnt, the last loss is the error, which leaves the peer out
    error = abs(losses[0] / net.loss() - 1) if losses[-1] < 1e-2 else float(losses[-1])
    show(f"{net.cell}_train/lesson", "nn, Python, fused Adam" if fused else "nn, Python", error, usual(whole))


def main():
    torch.set_num_threads(THREADS)
    folder = Path(sys.argv[1])
    if THREADS == 1:
        for net in read_nets(folder, "step"):
            if wanted(f"{net.cell}_step/{net.size}"):
                step(net)
        for net in read_nets(folder, "lesson"):
            if wanted(f"{net.cell}_train/lesson"):
                lesson(net, fused=False)
                lesson(net, fused=True)
    for net in read_nets(folder, "forward"):
        if wanted(f"{net.cell}_forward/{net.size}"):
            forward(net)
    for net in read_nets(folder, "train"):
        if wanted(f"{net.cell}_train/{net.size}"):
            training(net, fused=False)
            training(net, fused=True)


if __name__ == "__main__":
    main()
