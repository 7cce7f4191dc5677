"""Compares the rnnstep binary with PyTorch on random networks, to be run by hand where PyTorch is installed:

    cargo build --release
    python tests/golden/parity.py target/release/rnnstep 1 2 3             # these seeds
    python tests/golden/parity.py target/release/rnnstep 1-50 --isa avx2   # a range, on one instruction set

Each seed draws a network and its input, writes both as safetensors, and checks, with PyTorch in float64 as the truth:

predict  the outputs and final states, and that two calls with the state handed over give the bits of one call;
train    the gradients of the first step (before clipping), the loss of every step, the weights afterwards; that
         `model.load_state_dict(load_file(f))` of the lesson's class takes the trained file; and that the binary
         predicts from that file what PyTorch does.

The bounds, where err32 is PyTorch's own float32 error, max |f32 - f64|, on the same case:

outputs, states   2 err32 + 1e-6, for each tensor
gradients         3 err32 + 1e-6 max(1, largest gradient of the tensor)
losses            4 err32 + 1e-6 max(loss, sqrt(loss)), for each step; err32 is the largest up to that step. The square
                  root is what an error of 1e-6 in y does to a squared loss.
trained weights   4 err32 + 1e-6, over all tensors: Adam divides by the gradient's size, so that an error in a gradient
                  close to zero moves a weight by as much as a large one would
"""

import argparse
import csv
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file
from safetensors.torch import load_file

from generate import ADAM, SGD, Draw, build, error, evaluate, kink_margin, recipe, spec, train

SIZES = [1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 100]
LOSS_FLAGS = {"MSELoss": "mse", "L1Loss": "mae", "HuberLoss": "huber"}
# `cosine` comes down to zero over all steps.
SCHEDULES = {"constant": lambda steps: None, "cosine": lambda steps: {"name": "CosineAnnealingLR", "T_max": steps}}


class Failure(Exception):
    """What was found wrong, in a line."""


class Worst:
    """Keeps the largest error as a fraction of its bound; beyond 1 it raises."""

    def __init__(self):
        self.fraction, self.where = 0.0, "nothing"

    def check(self, what, ours, truth, bound):
        if np.shape(ours) != np.shape(truth):
            raise Failure(f"{what}: shape {np.shape(ours)}, not {np.shape(truth)}")
        difference = np.abs(np.asarray(ours, dtype=np.float64) - truth)
        # a NaN among ours is never within a bound
        fraction = float(np.max(np.where(np.isnan(difference), np.inf, difference) / bound, initial=0.0))
        if fraction > 1.0:
            where = np.unravel_index(int(np.argmax(difference / bound)), np.shape(ours))
            place, ours, truth = list(map(int, where)) or "", np.asarray(ours)[where], np.asarray(truth)[where]
            raise Failure(f"{what}{place}: {ours!s}, not {truth!s}: {fraction:.3g} bounds off")
        if fraction >= self.fraction:
            self.fraction, self.where = fraction, what


class Binary:
    """The binary under test, run in a folder of its own."""

    def __init__(self, path, isa, folder):
        self.path, self.folder, self.isa = path, folder, ["--isa", isa] if isa else []

    def run(self, *arguments):
        command = [self.path, *map(str, arguments), *self.isa]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            said = (done.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
            raise Failure(f"{' '.join(command[1:])}: exit {done.returncode}: {said}")

    def predict(self, case, model, x, states=None, flat=False):
        """y and the final states. `flat` hands over [T,I] in place of [1,T,I]."""
        save_file({"x": np.ascontiguousarray(x[0] if flat else x)}, self.folder / "x.safetensors")
        arguments = ["predict", model, "x.safetensors", "--out", "y.safetensors", "--raw"]
        arguments += ["--final-state", "final.safetensors"]
        if states:
            save_file(states, self.folder / "initial.safetensors")
            arguments += ["--init-state", "initial.safetensors"]
        if case["nonlinearity"] == "relu":
            arguments += ["--nonlinearity", "relu"]
        self.run(*arguments)
        y, final = self.read("y.safetensors", "y")["y"], self.read("final.safetensors", "h", *self.c(case))
        return (y[None] if flat else y), final

    def read(self, name, *expected):
        path = self.folder / name
        if not path.is_file():
            raise Failure(f"{name} was not written")
        tensors = load_arrays(path)
        path.unlink()  # so that the next command cannot live on it
        missing = [tensor for tensor in expected if tensor not in tensors]
        if missing:
            raise Failure(f"{name} has {sorted(tensors)} but not {missing}")
        return tensors

    @staticmethod
    def c(case):
        return ["c"] if case["cell"] == "lstm" else []


def draw_case(draw, training):
    """A network of random kind and size."""
    pick = lambda choices: choices[int(draw.bits.integers(len(choices)))]  # noqa: E731
    kind = pick(["rnn", "relu", "lstm", "gru"])
    sizes = [size for size in SIZES if size <= 33] if training else SIZES
    case = spec(
        "rnn" if kind == "relu" else kind, pick([1, 2, 3, 17]), pick(sizes), pick([1, 1, 2, 3]), pick([1, 1, 2, 17]),
        pick([1, 1, 3, 5, 33]), pick([1, 2, 5, 20]), nonlinearity="relu" if kind == "relu" else "tanh",
    )  # fmt: skip
    if training:
        # fewer values, or no draw of a relu or of a mean absolute error stays clear of the kinks for all steps
        return case | {name: min(case[name], most) for name, most in {"batch": 3, "seq_len": 7, "output": 2}.items()}
    if draw.bits.random() < 0.25:
        case["output"] = None
    return case | {"bias": draw.bits.random() < 0.75, "has_state": draw.bits.random() < 0.5}


def draw_recipe(draw, case, schedules):
    """A random way to train it, and the flags that say the same."""
    pick = lambda choices: choices[int(draw.bits.integers(len(choices)))]  # noqa: E731
    name, decay = pick(["adam", "adamw", "sgd"]), pick([0.0, 0.01, 0.1])
    rate, momentum = pick([0.01, 0.05]) if name == "sgd" else pick([0.003, 0.01]), pick([0.0, 0.9])
    steps, state, on, clip = pick([3, 8, 20]), pick(["carry", "reset"]), pick(["all", "last"]), pick([None, 0.1, 0.5])
    loss, schedule = pick(list(LOSS_FLAGS)), pick(schedules)
    optimizer = {
        "adam": ADAM | {"lr": rate, "weight_decay": decay},
        "adamw": ADAM | {"name": "AdamW", "lr": rate, "weight_decay": decay},
        "sgd": SGD | {"lr": rate, "weight_decay": decay, "momentum": momentum},
    }[name]
    case = recipe(
        case, steps=steps, optimizer=optimizer, state=state, loss=loss, loss_on=on, clip=clip,
        scheduler=SCHEDULES[schedule](steps),
    )  # fmt: skip
    flags = ["--cell", case["cell"], "--hidden", case["hidden"], "--layers", case["layers"], "--steps", steps]
    flags += ["--optimizer", name, "--lr", rate, "--weight-decay", decay, "--schedule", schedule]
    flags += ["--state", state, "--loss", LOSS_FLAGS[loss], "--loss-on", on, "--scale", "none", "--val-fraction", 0]
    flags += ["--clip", clip] if clip is not None else []
    flags += ["--momentum", momentum] if name == "sgd" else []
    flags += ["--nonlinearity", "relu"] if case["nonlinearity"] == "relu" else []
    return case, flags


def describe(case):
    kind = "relu" if case["nonlinearity"] == "relu" else case["cell"]
    letters = zip("IHLOBT", ["input", "hidden", "layers", "output", "batch", "seq_len"])
    text = f"{kind:4} " + " ".join(f"{letter}{case[name] or '-'}" for letter, name in letters)
    if "optimizer" in case:
        how = [case["optimizer"]["name"], case["state"], LOSS_FLAGS[case["loss"]], case["loss_on"]]
        how += [f"{case['steps']} steps"] + ["clip"] * bool(case["clip_grad_norm"])
        return " ".join([text, *how, "cosine" if case["scheduler"] else "constant"])
    return text + (" bias" if case["bias"] else "") + (" state" if case["has_state"] else "")


def check_forward(worst, what, case, weights, x, states, y, final):
    """Outputs and final states against PyTorch in float64."""
    f64 = evaluate(case, weights, x, states, None, torch.float64)
    f32 = evaluate(case, weights, x, states, None, torch.float32)
    for name, ours in {"y": y, "h_n": final["h"], **({"c_n": final["c"]} if "c_n" in f64 else {})}.items():
        worst.check(f"{what} {name}", ours, f64[name], 2.0 * error(f32[name], f64[name]) + 1e-6)


def predict_case(binary, seed, worst):
    for draw in Draw.tries(f"parity predict {seed}"):
        case = draw_case(draw, training=False)
        weights, states = draw.weights(case), draw.states(case)
        x = draw.uniform((case["batch"], case["seq_len"], case["input"]), 2.0)
        if kink_margin(case, weights, x, states) > 1e-6:
            break
    yield describe(case)
    save_file(weights, binary.folder / "model.safetensors")
    initial = {name[0]: value for name, value in states.items()}
    y, final = binary.predict(case, "model.safetensors", x, initial, flat=case["batch"] == 1)
    check_forward(worst, "predict", case, weights, x, states, y, final)
    if case["seq_len"] > 1:
        half = case["seq_len"] // 2
        first, between = binary.predict(case, "model.safetensors", x[:, :half], initial)
        second, end = binary.predict(case, "model.safetensors", x[:, half:], between)
        if np.concatenate([first, second], axis=1).tobytes() != y.tobytes():
            raise Failure("two calls with the state handed over do not give the outputs of one, bit for bit")
        if any(end[name].tobytes() != final[name].tobytes() for name in end):
            raise Failure("two calls with the state handed over do not give the final state of one, bit for bit")


def train_case(binary, seed, worst, schedules):
    for draw in Draw.tries(f"parity train {seed}"):
        case, flags = draw_recipe(draw, draw_case(draw, training=True), schedules)
        weights = draw.weights(case)
        x = draw.uniform((3, case["batch"], case["seq_len"], case["input"]))
        shape = (3, case["batch"], case["seq_len"], case["output"])
        target = draw.uniform(shape if case["loss_on"] == "all" else (*shape[:2], shape[3]), 2.0)
        f64, margin = train(case, weights, x, target, torch.float64)
        if margin > 5e-6:
            break
    yield describe(case)
    f32, _ = train(case, weights, x, target, torch.float32)
    save_file(weights, binary.folder / "init.safetensors")
    save_file({"x": x, "target": target}, binary.folder / "data.safetensors")
    files = ["--init", "init.safetensors", "--log", "losses.csv", "--save-grads", "grads.safetensors"]
    binary.run("train", "data.safetensors", *flags, *files, "--out", "trained.safetensors")

    check_gradients(worst, case, weights, x[0], target[0], binary.read("grads.safetensors"))
    losses = read_losses(binary.folder / "losses.csv")
    drift = np.maximum.accumulate(np.abs(f32["loss"] - f64["loss"]))
    worst.check("loss", losses, f64["loss"], 4.0 * drift + 1e-6 * np.maximum(f64["loss"], np.sqrt(f64["loss"])))

    path = binary.folder / "trained.safetensors"
    model = build(case, weights, torch.float32)
    try:
        model.load_state_dict(load_file(path))  # strict: every name, every shape, nothing else
    except Exception as refused:
        raise Failure(f"PyTorch does not take the trained file: {' '.join(str(refused).split())}") from refused
    trained = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    weight_error = max(error(f32[f"final.{name}"], f64[f"final.{name}"]) for name in trained)
    for name, ours in trained.items():
        worst.check(name, ours, f64[f"final.{name}"], 4.0 * weight_error + 1e-6)
    y, final = binary.predict(case, "trained.safetensors", x[0])
    check_forward(worst, "trained", case, trained, x[0], {}, y, final)
    path.unlink()


def check_gradients(worst, case, weights, x, target, grads):
    """The gradients of the first step, from a zero state."""
    f64, f32 = (first_gradients(case, weights, x, target, dtype) for dtype in (torch.float64, torch.float32))
    if sorted(grads) != sorted(weights):
        raise Failure(f"grads.safetensors has {sorted(grads)}, not {sorted(weights)}")
    for name, truth in f64.items():
        bound = 3.0 * error(f32[name], truth) + 1e-6 * max(1.0, np.abs(truth).max())
        worst.check(f"grad.{name}", grads[name], truth, bound)


def first_gradients(case, weights, x, target, dtype):
    if case["loss_on"] == "all":
        out = evaluate(case, weights, x, {}, target, dtype, case["loss"])
        return {name: out[f"grad.{name}"] for name in weights}
    model, x = build(case, weights, dtype), torch.tensor(x, dtype=dtype)
    y, _ = model(x, None)
    getattr(torch.nn, case["loss"])()(y[:, -1], torch.tensor(target, dtype=dtype)).backward()
    return {name: parameter.grad.double().numpy() for name, parameter in model.named_parameters()}


def read_losses(path):
    if not path.is_file():
        raise Failure("losses.csv was not written")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    path.unlink()
    if not rows or "loss" not in rows[0]:
        raise Failure("losses.csv has no rows, or no column `loss`")
    return np.array([float(row["loss"]) for row in rows])


def seeds(text):
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def main():
    parser = argparse.ArgumentParser(description="Compares the rnnstep binary with PyTorch on random networks.")
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("seeds", type=seeds, nargs="+", help="a number or a range: 7, 1-50")
    parser.add_argument("--isa", help="instruction set to force; without it the binary chooses")
    parser.add_argument("--only", choices=["predict", "train"])
    parser.add_argument("--schedules", nargs="+", choices=list(SCHEDULES), default=list(SCHEDULES))
    options = parser.parse_args()
    if not options.binary.is_file():
        parser.error(f"{options.binary}: no such file; build it first: cargo build --release")
    print(f"torch {torch.__version__}, {options.binary}, isa {options.isa or 'as the binary chooses'}")
    passed = failed = 0
    for seed in (seed for some in options.seeds for seed in some):
        for kind in ["predict", "train"] if options.only is None else [options.only]:
            with tempfile.TemporaryDirectory(prefix="rnnstep-parity-") as folder:
                binary, worst = Binary(options.binary.resolve(), options.isa, pathlib.Path(folder)), Worst()
                # a case first says what it is, then runs
                if kind == "predict":
                    case = predict_case(binary, seed, worst)
                else:
                    case = train_case(binary, seed, worst, options.schedules)
                title = f"seed {seed:3} {kind:7} {next(case)}"
                try:
                    for _ in case:
                        pass
                except (Failure, subprocess.TimeoutExpired, OSError, ValueError) as found:
                    failed += 1
                    print(f"FAILED {title}: {found}")
                else:
                    passed += 1
                    print(f"ok     {title}: {worst.fraction:.2f} of the bound, {worst.where}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
