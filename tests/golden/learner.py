"""The golden files of a model that learns while it runs: learner_*. Called by generate.py; alone it writes no others.

    python tests/golden/learner.py            # writes tests/golden/learner_*.safetensors

initial weights, x [T,I] and came [T,O], one row a tick. At each tick the network answers x_t (y64 [T,O]), its state going on;
the loss of the answer before, held against came_t, is loss64 [T-1]; and after every `every` of them one update from the last
`window` rows whose truth is known, forward again with the weights of now from the state that was there before the first of
them. Afterwards the weights are final.<weight>. y32 and loss32 are the same in float32, for `f32_error`.
"""

import argparse
import pathlib

import generate
import numpy as np
import torch
from generate import ADAM, LOSSES, SGD, Draw, build, error, save, spec
from torch import nn

TICKS = 120


def how(cell, input, hidden, layers, output, *, window, every, optimizer, clip=1.0, loss="MSELoss", loss_on="all"):
    case = spec(cell, input, hidden, layers, output, 1, TICKS)
    return case | {
        "window": window, "every": every, "optimizer": optimizer, "clip_grad_norm": clip, "loss": loss, "loss_on": loss_on,
    }  # fmt: skip


CASES = {
    "rnn_k1": how("rnn", 1, 9, 1, 1, window=1, every=1, optimizer=ADAM | {"lr": 0.01}),
    "rnn_k7_every3_last": how(
        "rnn", 1, 16, 1, 1, window=7, every=3, loss="HuberLoss", loss_on="last", optimizer=SGD | {"lr": 0.05, "momentum": 0.8}
    ),
    "lstm_k16": how("lstm", 1, 17, 1, 1, window=16, every=1, clip=0.3, optimizer=ADAM | {"lr": 0.01}),
    "lstm_k7_two_layers": how("lstm", 1, 8, 2, 1, window=7, every=1, optimizer=ADAM | {"lr": 0.005}),
    "lstm_k16_every3_wide": how(
        "lstm", 3, 9, 1, 2, window=16, every=3, clip=None,
        optimizer=ADAM | {"name": "AdamW", "lr": 0.01, "weight_decay": 0.1},
    ),
    "gru_k7": how("gru", 1, 15, 1, 1, window=7, every=1, clip=0.5, optimizer=ADAM | {"lr": 0.01}),
    "gru_k16_every3_two_layers": how("gru", 2, 9, 2, 1, window=16, every=3, optimizer=ADAM | {"lr": 0.01}),
    "mgu_k7": how("mgu", 1, 15, 1, 1, window=7, every=1, clip=0.5, optimizer=ADAM | {"lr": 0.01}),
    "gru_k1_every3": how("gru", 1, 8, 1, 1, window=1, every=3, optimizer=ADAM | {"lr": 0.02}),
}  # fmt: skip


def series(case, draw):
    """x, and what comes: x itself where the widths are the same, else running means of it."""
    t = np.arange(TICKS)[:, None]
    period = 7.0 + 3.0 * np.arange(case["input"])
    x = (np.sin(2.0 * np.pi * t / period) + draw.uniform((TICKS, case["input"]), 0.3)).astype(np.float32)
    if case["input"] == case["output"]:
        return x, x
    mean = np.stack([x[max(0, i - 3) : i + 1].mean(axis=(0, 1)) for i in range(TICKS)])[:, None]
    return x, (mean * np.arange(1, case["output"] + 1)).astype(np.float32)


def run(case, weights, x, came, dtype):
    model, criterion = build(case, weights, dtype), LOSSES[case["loss"]]()
    options = {key: value for key, value in case["optimizer"].items() if key != "name"}
    optimizer = getattr(torch.optim, case["optimizer"]["name"])(model.parameters(), **options)
    x, came = torch.tensor(x, dtype=dtype), torch.tensor(came, dtype=dtype)
    zeros = torch.zeros(case["layers"], 1, case["hidden"], dtype=dtype)
    state = (zeros, zeros) if case["cell"] == "lstm" else zeros
    before, answers, losses, norms = [], [], [], []
    for t in range(TICKS):
        before.append(state)
        with torch.no_grad():
            y, state = model(x[None, t : t + 1], state)
        answers.append(y[0, 0])
        if t == 0:
            continue
        losses.append(criterion(answers[t - 1], came[t]).item())
        if t % case["every"]:
            continue
        first = max(0, t - case["window"])
        y, _ = model(x[None, first:t], before[first])
        rows = slice(-1, None) if case["loss_on"] == "last" else slice(None)
        loss = criterion(y[0, rows], came[first + 1 : t + 1][rows])
        optimizer.zero_grad()
        loss.backward()
        most = case["clip_grad_norm"] if case["clip_grad_norm"] is not None else np.inf
        norms.append(nn.utils.clip_grad_norm_(model.parameters(), most).item())
        optimizer.step()
    final = {f"final.{name}": value.double().numpy() for name, value in model.state_dict().items()}
    return {"y": torch.stack(answers).double().numpy(), "loss": np.array(losses), **final}, norms


def learners(folder):
    for name, case in CASES.items():
        full = f"learner_{name}"
        draw = Draw(full)
        weights = draw.weights(case)
        x, came = series(case, draw)
        f64, norms = run(case, weights, x, came, torch.float64)
        clip = case["clip_grad_norm"]
        assert clip is None or min(norms) < clip < max(norms), f"{full}: clipping has to bind in some updates only"
        assert f64["loss"][-30:].mean() < 0.7 * f64["loss"][:30].mean(), f"{full}: learns nothing"
        f32, _ = run(case, weights, x, came, torch.float32)
        errors = {key: error(f32[key], f64[key]) for key in f64}
        out = {"y64": f64.pop("y"), "loss64": f64.pop("loss"), **f64}
        save(folder, full, {**weights, "x": x, "came": came, **out}, {**case, "f32_error": errors})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Makes the golden files of learners.")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(generate.__file__).parent)
    learners(parser.parse_args().out)
