"""PyTorch, with cuDNN, on the same GPU as the kernels and on the same networks: the lines that benches/gpu writes.

    python3 torch_peer.py --against rnnstep.jsonl --out torch.jsonl

Reads what was measured of rnnstep, computes the same answers in float64, and compares both with them. Then measures the same
figures: forward, forward and backward, a training step with fused Adam, the products alone, the lesson, single steps. Each
is measured eagerly and inside a CUDA graph, after a warm-up, with cuDNN on, by the GPU's own clock. Needs PyTorch and numpy.
Without a GPU it runs on the processor, which is only for trying the script itself.
"""
import argparse
import json
import math
import statistics
import sys
import time

import numpy as np
import torch
from torch import nn

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
DTYPES = {"f32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
# Largest errors of y, and of a gradient's norm relative to the largest norm, after 20 steps: what rounded factors explain.
ALLOWED = {"f32": (2e-5, 1e-4), "tf32": (8 * 2**-10, 32 * 2**-10), "f16": (8 * 2**-10, 32 * 2**-10), "bf16": (8 * 2**-7, 32 * 2**-7)}
X, TARGET = 100, 101  # sequences of values, as in values.rs


def values(of, count):
    """The first values of a sequence, evenly from -1 to 1: the twin of values.rs."""
    z = np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B1) + np.uint32(of * 0x85EBCA77 & 0xFFFFFFFF)
    z = (z ^ (z >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    z = (z ^ (z >> np.uint32(12))) * np.uint32(0x297A2D39)
    z ^= z >> np.uint32(15)
    return torch.from_numpy((z >> np.uint32(8)).astype(np.float32) / np.float32(1 << 23) - np.float32(1))


class Net(nn.Module):
    """A layer (or more) with a head."""

    def __init__(self, cell, inputs, hidden, layers=1):
        super().__init__()
        self.rnn = CELLS[cell](inputs, hidden, layers)
        self.fc = nn.Linear(hidden, 1)

    def forward(self, x, state=None):
        h, state = self.rnn(x, state)
        return self.fc(h), state


def network(cell, inputs, hidden, dtype):
    """With the weights of values.rs."""
    net = Net(cell, inputs, hidden)
    bound = np.float32(1) / np.sqrt(np.float32(hidden))
    with torch.no_grad():
        for e, p in enumerate(net.parameters()):
            p.copy_(values(e, p.numel()).view(p.shape) * torch.tensor(bound))
    net = net.to(DEVICE, dtype)
    net.rnn.flatten_parameters()
    return net


def data(batch, steps, inputs, dtype):
    """x and targets, [T][B][I] as in rnnstep, which is also the order that suits cuDNN."""
    x = values(X, steps * batch * inputs).view(steps, batch, inputs).to(DEVICE, dtype)
    return x, values(TARGET, steps * batch).view(steps, batch, 1).to(DEVICE, dtype)


class Lines:
    def __init__(self, path):
        self.out = open(path, "a") if path else None
        self.errors = 0

    def say(self, what, *parts):
        line = {"what": what}
        for part in parts:
            line.update(part)
        text = json.dumps(line)
        print(text, flush=True)
        if self.out:
            print(text, file=self.out, flush=True)

    def fail(self, name, why):
        self.errors += 1
        self.say("error", name, {"error": str(why).splitlines()[0][:200] if str(why) else repr(why)})


def synchronize():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def measure(work, each):
    """Microseconds of a call: bursts of back-to-back calls between two events, as timing.rs does."""

    def burst(calls):
        if DEVICE != "cuda":
            start = time.perf_counter()
            for _ in range(calls):
                work()
            return 1e6 * (time.perf_counter() - start) / calls
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        first.record()
        for _ in range(calls):
            work()
        last.record()
        last.synchronize()
        return 1e3 * first.elapsed_time(last) / calls

    burst(3)
    one = burst(1)
    calls = 1 if each == 0 else min(max(math.ceil(1000 / max(one, 0.1)), 1), 100)
    start, times = time.perf_counter(), []
    while len(times) < 3 or (1e3 * (time.perf_counter() - start) < each and len(times) < 100):
        times.append(burst(calls))
    return {"median": statistics.median(times), "least": min(times), "bursts": len(times)}


def recorded(work):
    """The same as a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def both(work, each):
    """Eagerly and as a graph; the better of the two is what counts."""
    found = {"eager_us": measure(work, each)}
    best = found["eager_us"]["median"]
    if DEVICE == "cuda":
        try:
            found["graph_us"] = measure(recorded(work), each)
            best = min(best, found["graph_us"]["median"])
        except Exception as error:  # some modes of cuDNN cannot be recorded; then only the eager one counts
            found["graph_error"] = str(error).splitlines()[0][:120]
            synchronize()
    return {**found, "best_us": best}


def answers(net, x, target, rows):
    """The last values of y and the norm of each gradient of the mean squared error."""
    net.zero_grad(set_to_none=True)
    y, _ = net(x)
    ((y - target) ** 2).mean().backward()
    norms = {name: p.grad.double().norm().item() for name, p in net.named_parameters()}
    return {"y": y.flatten()[-rows:].double().tolist(), "gradients": norms}


def hold(found, truth, dtype):
    """Whether y and the norms of gradients are close enough, and how far off they are; norms are relative to the largest."""
    off_y = max(abs(a - b) for a, b in zip(found["y"], truth["y"]))
    largest = max(truth["gradients"].values())
    off = max(abs(found["gradients"][name] - norm) for name, norm in truth["gradients"].items()) / largest
    fits = off_y <= ALLOWED[dtype][0] and off <= ALLOWED[dtype][1]  # NaN does not
    return fits, {"off_y": off_y, "off_gradients": off}


def check(line, lines):
    """Compares the answers of both with float64."""
    name = {key: line[key] for key in ("cell", "H", "B", "I", "dtype")}
    x, target = data(line["B"], line["T"], line["I"], torch.float64)
    truth = answers(network(line["cell"], line["I"], line["H"], torch.float64), x, target, len(line["y"]))
    fits, found = hold(line, truth, line["dtype"])
    lines.say("answers", name, {"of": "rnnstep"}, found)
    if not fits:
        lines.fail(name, f"rnnstep's answers are wrong: {found}; {ALLOWED[line['dtype']]} is allowed")
    dtype = DTYPES[line["dtype"]]
    x, target = data(line["B"], line["T"], line["I"], dtype)
    mine = answers(network(line["cell"], line["I"], line["H"], dtype), x, target, len(line["y"]))
    lines.say("answers", name, {"of": "torch"}, hold(mine, truth, line["dtype"])[1])


def figure(line, each, lines, cache):
    """The same figure as `line`, of PyTorch."""
    name = {key: line[key] for key in ("cell", "H", "B", "I", "dtype", "T")}
    key = tuple(name.values())
    dtype = DTYPES[line["dtype"]]
    if key not in cache:
        cache.clear()
        cache[key] = network(line["cell"], line["I"], line["H"], dtype), *data(line["B"], line["T"], line["I"], dtype)
    net, x, target = cache[key]

    def forward():
        with torch.inference_mode():
            return net(x)

    def backward():
        net.zero_grad(set_to_none=False)
        y, _ = net(x)
        ((y - target) ** 2).mean().backward()

    if line["what"] == "fwd":
        lines.say("fwd", name, both(forward, each))
    elif line["what"] == "fwdbwd":
        lines.say("fwdbwd", name, both(backward, each))
    elif line["what"] == "train":
        # a copy: Adam changes the weights, and a trained network might take another time
        copy = network(line["cell"], line["I"], line["H"], dtype)
        adam = torch.optim.Adam(copy.parameters(), lr=1e-3, fused=DEVICE == "cuda", capturable=DEVICE == "cuda")

        def train():
            adam.zero_grad(set_to_none=False)
            y, _ = copy(x)
            ((y - target) ** 2).mean().backward()
            adam.step()

        lines.say("train", name, both(train, each))
    else:
        rows, gates, inputs = line["T"] * line["B"], net.rnn.weight_ih_l0.shape[0], line["I"]
        matrix = lambda *size: torch.randn(*size, device=DEVICE, dtype=dtype)
        a, w, bias, d = matrix(rows, inputs), matrix(gates, inputs), matrix(gates), matrix(rows, gates)
        out = {"gates": matrix(rows, gates), "input": matrix(rows, inputs), "weight": matrix(gates, inputs)}[line["product"]]
        work = {
            "gates": lambda: torch.addmm(bias, a, w.t(), out=out),
            "input": lambda: torch.mm(d, w, out=out),
            "weight": lambda: torch.mm(d.t(), a, out=out),
        }[line["product"]]
        lines.say("product", name, {"product": line["product"]}, both(work, each))


def lesson(line, lines):
    """The lesson from fresh weights, by the wall clock; its windows are on the GPU."""
    windows = []
    for k in range(line["steps"]):
        points = np.sin(np.linspace(k * np.pi, (k + 1) * np.pi, 21)).astype(np.float32)
        windows.append([torch.from_numpy(part.copy()).view(20, 1, 1).to(DEVICE) for part in (points[:-1], points[1:])])
    times, loss = [], None
    for _ in range(4 if line["steps"] > 100 else 6):
        net = Net(line["cell"], 1, 32).to(DEVICE)
        adam = torch.optim.Adam(net.parameters(), lr=0.01, fused=DEVICE == "cuda")
        state, criterion = None, nn.MSELoss()
        synchronize()
        start = time.perf_counter()
        for x, target in windows:
            y, state = net(x, state)
            state = tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()
            loss = criterion(y, target)
            adam.zero_grad()
            loss.backward()
            adam.step()
        loss = loss.item()
        times.append(1e3 * (time.perf_counter() - start))
    name = {key: line[key] for key in ("cell", "H", "B", "T", "dtype", "steps")}
    lines.say("lesson", name, {"best_ms": statistics.median(times[1:]), "runs_ms": times[1:], "last_loss": loss})


def tick(line, lines):
    """One step after the other, from a value on the host to a value on the host: eagerly, and by a graph."""
    torch.manual_seed(0)
    net = Net(line["cell"], line["I"], line["H"], line["L"]).to(DEVICE)
    name = {key: line[key] for key in ("cell", "H", "B", "I", "L", "dtype")}
    host = torch.randn(1, 1, line["I"], pin_memory=DEVICE == "cuda")
    x = host.to(DEVICE)
    zero = lambda: torch.zeros(line["L"], 1, line["H"], device=DEVICE)
    state = [zero(), zero()] if line["cell"] == "lstm" else [zero()]
    y = torch.zeros(1, 1, 1, device=DEVICE)

    def step():
        with torch.inference_mode():
            out, after = net(x, tuple(state) if len(state) > 1 else state[0])
            y.copy_(out)
            for old, new in zip(state, after if len(state) > 1 else (after,)):
                old.copy_(new)

    def p50_p99(work):
        times = []
        for k in range(1050):
            start = time.perf_counter()
            x.copy_(host, non_blocking=True)
            work()
            y.item()
            if k >= 50:
                times.append(1e6 * (time.perf_counter() - start))
        times.sort()
        return times[len(times) // 2], times[len(times) * 99 // 100]

    found = [p50_p99(step)] + ([p50_p99(recorded(step))] if DEVICE == "cuda" else [])
    best = min(found)
    lines.say("tick", name, {"best_us": best[0], "p99_us": best[1], "eager_us": found[0][0]})


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--against", required=True, help="the lines of rnnstep")
    args.add_argument("--out", help="append the lines to this file, too")
    args.add_argument("--each", type=float, default=40, help="milliseconds that one figure may take")
    args.add_argument("--seconds", type=float, default=3600, help="begin nothing after so many seconds")
    args = args.parse_args()
    start, lines, cache = time.time(), Lines(args.out), {}
    name = torch.cuda.get_device_name() if DEVICE == "cuda" else "no GPU: the processor, for trying this script"
    lines.say("about", {"of": "torch", "date": time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime()), "version": torch.__version__, "device": name, "cuda": torch.version.cuda,
                        "cudnn": torch.backends.cudnn.version()})
    with open(args.against) as file:
        for number, line in enumerate(json.loads(text) for text in file if text.strip()):
            if time.time() - start > args.seconds:
                lines.fail({}, f"lines from {number + 1} on are not measured: the time is over; see --seconds")
                break
            tf32 = line.get("dtype") == "tf32"
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
            try:
                if line["what"] in ("fwd", "fwdbwd", "train", "product"):
                    figure(line, args.each, lines, cache)
                elif line["what"] in ("answers", "lesson", "tick"):
                    {"answers": check, "lesson": lesson, "tick": tick}[line["what"]](line, lines)
            except Exception as error:
                lines.fail({key: line[key] for key in ("cell", "H", "B", "T", "dtype") if key in line}, error)
                synchronize()
    lines.say("complete", {"seconds": time.time() - start})
    return 1 if lines.errors else 0


if __name__ == "__main__":
    sys.exit(main())
