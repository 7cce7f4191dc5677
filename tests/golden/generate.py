"""Makes the golden files: PyTorch's answers, which the tests of rnnstep compare themselves with.

How to run, from the root of the repository, with any Python that has torch, numpy and safetensors:

    python tests/golden/generate.py            # writes tests/golden/*.safetensors
    python tests/golden/generate.py --out DIR  # writes them elsewhere, to compare

Two runs on one machine give the same bytes. Another processor or another PyTorch moves the float32 columns
(`loss32`, `y32`, every `f32_error`) a little, and the float64 ones in their last digits.

The truth is PyTorch in float64, from weights and inputs that are exact float32 values. Tolerances are stated relative
to PyTorch's own float32 error, max |f32 - f64| of a tensor, which is recorded as `f32_error` by the tensor's name.
Every file has one metadata entry, `case`: JSON that says what the network is and how it was run.
Shapes: T seq_len, B batch, I input, H hidden, O output, L layers, N windows, G gates. Weights have PyTorch's names.

net_*      weights (float32), x [B,T,I], target [B,T,O] ([B,T,H] without a head), h0 and c0 [L,B,H] if given;
           y, h_n, c_n, loss (MSE, mean) and its gradients grad.<weight>, grad.x, grad.h0, grad.c0, all float64.
special_*  forward only, with NaN, infinities, huge and denormal numbers in x, the states or the weights.
           y32, h_n32, c_n32 (float32) say where NaN and infinities appear; y, h_n, c_n (float64) the values elsewhere.
act        x [n] over the whole float32 range; tanh and sigmoid [n], float64, from arithmetic with 60 digits.
train_*    initial weights, x [N,B,T,I], target [N,B,T,O] (or [N,B,O]: the last step only); step k takes window k mod N.
           loss64 and loss32 [steps] from PyTorch in either precision, norm64 [steps] (the gradients' global norm before
           clipping), lr [steps], and the weights afterwards as final.<weight> (float64). With state `carry` the state
           starts as zeros and goes from each step to the next, also from the last window back to the first. Where the
           head is wider than the D target columns, target is [N,B,T,D], and grad.<weight> the gradients of step 0.
learner_*  a model that learns while it runs: see learner.py.
loss_*     y [n,O], target [n,D] and, in float64, the loss and its gradient dy [n,O]; of a Gaussian also where its variance
           is below the least.
"""

import argparse
import json
import os
import pathlib
import sys
import warnings
import zlib

# Before torch is imported: the same bits run after run, whatever the alignment of an array.
os.environ.setdefault("MKL_CBWR", "AUTO")

import numpy as np
import safetensors
import safetensors.numpy
import torch
from torch import nn

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
warnings.filterwarnings("ignore", message="TF32 acceleration")

LEVELS = [0.05, 0.25, 0.5, 0.75, 0.95]


class Gaussian(nn.GaussianNLLLoss):
    """PyTorch's, for rows of y that say [mean[D], s[D]], s the logarithm of the variance."""

    def forward(self, y, target):
        mean, s = y.chunk(2, dim=-1)
        return super().forward(mean, target, s.exp())


class Quantiles(nn.Module):
    """The pinball loss, which PyTorch has no class for; rows of y say [level0[D], level1[D], ...]."""

    def forward(self, y, target):
        levels = torch.tensor(LEVELS, dtype=y.dtype)[:, None]
        e = target.unsqueeze(-2) - y.unflatten(-1, (len(LEVELS), -1))
        return torch.maximum(levels * e, (levels - 1.0) * e).mean()


LOSSES = {
    "MSELoss": nn.MSELoss, "L1Loss": nn.L1Loss, "HuberLoss": nn.HuberLoss, "GaussianNLLLoss": Gaussian,
    "Quantiles": Quantiles,
}  # fmt: skip


class Mgu(nn.Module):
    """The minimal gated unit, which PyTorch has no class for, reset after the product: a layer is two linear layers, gates
    f and n. Their parameters have the names that those of nn.GRU have."""

    def __init__(self, input_size, hidden_dim, n_layers, *, batch_first, bias=True):
        super().__init__()
        assert batch_first
        columns = [input_size] + [hidden_dim] * (n_layers - 1)
        # in a plain list, since modules in a module would give their own names to the parameters
        self.layers = [(nn.Linear(c, 2 * hidden_dim, bias), nn.Linear(hidden_dim, 2 * hidden_dim, bias)) for c in columns]
        for number, layer in enumerate(self.layers):
            for side, linear in zip(("ih", "hh"), layer):
                self.register_parameter(f"weight_{side}_l{number}", linear.weight)
                if bias:
                    self.register_parameter(f"bias_{side}_l{number}", linear.bias)

    def forward(self, x, hidden):
        last = []
        for (ih, hh), h in zip(self.layers, hidden):
            out = []
            for t in range(x.shape[1]):
                (x_f, x_n), (h_f, h_n) = ih(x[:, t]).chunk(2, dim=-1), hh(h).chunk(2, dim=-1)
                f = torch.sigmoid(x_f + h_f)
                h = (1.0 - f) * h + f * torch.tanh(x_n + f * h_n)
                out.append(h)
            x = torch.stack(out, dim=1)
            last.append(h)
        return x, torch.stack(last)


# The recurrent layers by name, and how many gates they have.
CELLS = {"rnn": (nn.RNN, 1), "lstm": (nn.LSTM, 4), "gru": (nn.GRU, 3), "mgu": (Mgu, 2)}


class Lesson(nn.Module):
    """The lesson's class `RNN(input_size, output_size, hidden_dim, n_layers)`, with the kind of cell as an argument."""

    def __init__(self, cell, input_size, output_size, hidden_dim, n_layers, **options):
        super().__init__()
        self.rnn = CELLS[cell][0](input_size, hidden_dim, n_layers, batch_first=True, **options)
        self.fc = nn.Linear(hidden_dim, output_size) if output_size else None

    def forward(self, x, hidden):
        r_out, hidden = self.rnn(x, hidden)
        return (r_out if self.fc is None else self.fc(r_out)), hidden


def spec(cell, input, hidden, layers, output, batch, seq_len, *, nonlinearity="tanh", bias=True, has_state=False):
    """What a network is and what it is fed, as it stands in the metadata."""
    return {
        "cell": cell, "nonlinearity": nonlinearity, "input": input, "hidden": hidden, "layers": layers,
        "output": output, "bias": bias, "batch": batch, "seq_len": seq_len, "has_state": has_state,
    }  # fmt: skip


def build(case, weights, dtype):
    """The network of a case, with these weights."""
    options = {"bias": case["bias"]}
    if case["cell"] == "rnn":
        options["nonlinearity"] = case["nonlinearity"]
    model = Lesson(case["cell"], case["input"], case["output"], case["hidden"], case["layers"], **options)
    model.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    return model.to(dtype)


class Draw:
    """Random float32 arrays that depend on a name and on nothing else."""

    def __init__(self, name):
        self.bits = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))

    @classmethod
    def tries(cls, name):
        """One draw after the other, for who has to reject some."""
        return (cls(f"{name} {number}") for number in range(1000))

    def uniform(self, shape, limit=1.0):
        return ((2.0 * self.bits.random(shape) - 1.0) * limit).astype(np.float32)

    def weights(self, case, gain=1.0):
        """Uniform within 1 / sqrt(H), as PyTorch begins; `gain` times as wide for the recurrent layers."""
        narrow = 1.0 / np.sqrt(case["hidden"])
        limit = gain * narrow
        rows, weights = CELLS[case["cell"]][1] * case["hidden"], {}
        for layer in range(case["layers"]):
            columns = case["hidden"] if layer else case["input"]
            weights[f"rnn.weight_ih_l{layer}"] = self.uniform((rows, columns), limit)
            weights[f"rnn.weight_hh_l{layer}"] = self.uniform((rows, case["hidden"]), limit)
            if case["bias"]:
                weights[f"rnn.bias_ih_l{layer}"] = self.uniform((rows,), limit)
                weights[f"rnn.bias_hh_l{layer}"] = self.uniform((rows,), limit)
        if case["output"]:
            weights["fc.weight"] = self.uniform((case["output"], case["hidden"]), narrow)
            weights["fc.bias"] = self.uniform((case["output"],), narrow)
        return weights

    def states(self, case):
        """h0, and c0 for an LSTM; empty if the case has none."""
        shape = (case["layers"], case["batch"], case["hidden"])
        names = ["h0", "c0"] if case["cell"] == "lstm" else ["h0"]
        return {name: self.uniform(shape) for name in names} if case["has_state"] else {}


def evaluate(case, weights, x, states, target, dtype, loss="MSELoss"):
    """Outputs, final states and, if there is a target, the loss and every gradient, as float64 arrays."""
    model = build(case, weights, dtype)
    x = torch.tensor(x, dtype=dtype, requires_grad=True)
    zeros = np.zeros((case["layers"], x.shape[0], case["hidden"]))
    names = ["h0", "c0"] if case["cell"] == "lstm" else ["h0"]
    leaves = {name: torch.tensor(states.get(name, zeros), dtype=dtype, requires_grad=True) for name in names}
    y, hidden = model(x, tuple(leaves.values()) if case["cell"] == "lstm" else leaves["h0"])
    out = {"y": y}
    out |= dict(zip(["h_n", "c_n"], hidden)) if case["cell"] == "lstm" else {"h_n": hidden}
    if target is not None:
        out["loss"] = LOSSES[loss]()(y, torch.tensor(target, dtype=dtype))
        out["loss"].backward()
        out |= {f"grad.{name}": leaf.grad for name, leaf in {"x": x, **leaves}.items()}
        out |= {f"grad.{name}": parameter.grad for name, parameter in model.named_parameters()}
    return {name: np.array(value.detach().double().numpy()) for name, value in out.items()}


def kink_margin(case, weights, x, states):
    """The smallest |pre-activation| of a relu network: near a kink no gradient can be compared.
    An exact zero, from units below that are off, is one in every precision and does not count."""
    if case["nonlinearity"] != "relu":
        return np.inf
    w, below, margin = {k: v.astype(np.float64) for k, v in weights.items()}, x.astype(np.float64), np.inf
    for layer in range(case["layers"]):
        h = states["h0"][layer].astype(np.float64) if states else np.zeros((x.shape[0], case["hidden"]))
        above = []
        for t in range(x.shape[1]):
            a = below[:, t] @ w[f"rnn.weight_ih_l{layer}"].T + h @ w[f"rnn.weight_hh_l{layer}"].T
            if case["bias"]:
                a += w[f"rnn.bias_ih_l{layer}"] + w[f"rnn.bias_hh_l{layer}"]
            margin = np.min(np.abs(a), where=a != 0.0, initial=margin)
            h = np.maximum(a, 0.0)
            above.append(h)
        below = np.stack(above, axis=1)
    return margin


def error(f32, f64):
    """max |f32 - f64| where both are finite."""
    both = np.isfinite(f32) & np.isfinite(f64)
    return float(np.max(np.abs(f32[both] - f64[both]), initial=0.0))


def save(folder, name, tensors, case):
    path = folder / f"{name}.safetensors"
    tensors = {key: np.ascontiguousarray(value).reshape(np.shape(value)) for key, value in tensors.items()}
    metadata = {"case": json.dumps({"name": name, **case}, sort_keys=True)}
    safetensors.numpy.save_file(tensors, path, metadata)
    print(f"{path.stat().st_size:8}  {path.name}")


# --- whole networks, forward and backward -----------------------------------------------------------------------------

# cell, I, H, L, O, B, T, options: sizes on both sides of 8, 16, 32 and 64, spread so that each cell meets many of them.
NETS = [
    ("rnn", 1, 1, 1, 1, 33, 2, ""),
    ("rnn", 1, 7, 2, 1, 3, 5, "state"),
    ("rnn", 2, 8, 1, None, 1, 20, "nobias"),
    ("rnn", 3, 16, 3, 2, 3, 5, ""),
    ("rnn", 17, 31, 1, 17, 1, 2, "state"),
    ("rnn", 1, 32, 1, 1, 1, 20, ""),
    ("rnn", 2, 100, 1, 1, 1, 2, "state"),
    ("rnn", 3, 9, 2, 1, 5, 5, "state saturated"),
    ("rnn", 1, 9, 1, 1, 5, 5, "relu"),
    ("rnn", 3, 15, 2, 2, 1, 20, "relu state"),
    ("rnn", 17, 17, 1, None, 3, 2, "relu nobias zero"),
    ("rnn", 1, 33, 1, 17, 1, 1, "relu state"),
    ("rnn", 2, 1, 3, 1, 3, 5, "relu nobias state"),
    ("rnn", 1, 8, 2, 2, 3, 5, "relu state large"),
    ("lstm", 1, 1, 1, 1, 33, 2, "state"),
    ("lstm", 1, 7, 3, 1, 3, 5, ""),
    ("lstm", 2, 9, 2, 2, 5, 20, "nobias state"),
    ("lstm", 3, 15, 1, None, 3, 5, ""),
    ("lstm", 17, 16, 1, 1, 1, 1, "state"),
    ("lstm", 1, 17, 1, 17, 3, 5, ""),
    ("lstm", 2, 33, 1, None, 1, 2, "nobias state"),
    ("lstm", 1, 64, 1, 1, 1, 2, ""),
    ("lstm", 3, 8, 1, 1, 3, 20, "state saturated"),
    ("gru", 1, 1, 2, 1, 33, 1, "state"),
    ("gru", 2, 7, 1, None, 5, 5, "state"),
    ("gru", 1, 8, 3, 1, 1, 20, "nobias"),
    ("gru", 3, 9, 2, 17, 3, 5, "state"),
    ("gru", 17, 15, 1, 1, 1, 2, ""),
    ("gru", 1, 16, 1, 2, 3, 5, "state"),
    ("gru", 2, 17, 1, None, 1, 20, "nobias state"),
    ("gru", 3, 31, 1, 1, 1, 1, "state"),
    ("gru", 1, 33, 1, 2, 3, 2, ""),
    ("gru", 1, 64, 1, 1, 1, 2, "state"),
    ("gru", 3, 9, 1, 1, 5, 5, "saturated"),
    ("mgu", 1, 1, 2, 1, 33, 1, "state"),
    ("mgu", 2, 7, 1, None, 5, 5, "state"),
    ("mgu", 1, 8, 3, 1, 1, 20, "nobias"),
    ("mgu", 3, 9, 2, 17, 3, 5, "state"),
    ("mgu", 17, 16, 1, 1, 1, 2, ""),
    ("mgu", 2, 17, 1, None, 1, 20, "nobias state"),
    ("mgu", 3, 31, 1, 1, 1, 1, "state"),
    ("mgu", 1, 33, 1, 2, 3, 2, ""),
    ("mgu", 3, 9, 1, 1, 5, 5, "saturated"),
]


def net(folder, cell, input, hidden, layers, output, batch, seq_len, options):
    words = options.split()
    nonlinearity = "relu" if "relu" in words else "tanh"
    case = spec(
        cell, input, hidden, layers, output, batch, seq_len,
        nonlinearity=nonlinearity, bias="nobias" not in words, has_state="state" in words,
    )  # fmt: skip
    kind = "rnn_relu" if nonlinearity == "relu" else cell
    sizes = f"i{input}_h{hidden}_l{layers}_o{output or 0}_b{batch}_t{seq_len}"
    name = "_".join(["net", kind, sizes, *[word for word in words if word != "relu"]])
    # `saturated`: most gates lie far out on the flat ends; `large`: relu values grow from step to step
    gain, scale = {"saturated": (8.0, 8.0), "large": (2.0, 8.0)}.get(words[-1] if words else "", (1.0, 1.0))
    for draw in Draw.tries(name):
        weights, states = draw.weights(case, gain), draw.states(case)
        x = draw.uniform((batch, seq_len, input), scale)
        if "zero" in words:
            x[0, 0] = 0.0  # from a zero state without biases every relu is at exactly 0, where its gradient is 0
        target = draw.uniform((batch, seq_len, output or hidden))
        f64 = evaluate(case, weights, x, states, target, torch.float64)
        # not where a relu is near its kink, nor where all units are off
        if kink_margin(case, weights, x, states) > 2e-5 and all(np.any(value) for value in f64.values()):
            break
    else:
        raise SystemExit(f"{name}: no draw will do; change the sizes")
    f32 = evaluate(case, weights, x, states, target, torch.float32)
    case["f32_error"] = {key: error(f32[key], f64[key]) for key in f64}
    save(folder, name, {**weights, "x": x, **states, "target": target, **f64}, case)


# --- what is not a number, or hardly one ------------------------------------------------------------------------------

NAN, INF = np.nan, np.inf


def special(folder, kind, what, hidden):
    """`what` says where the special numbers stand."""
    cell, _, relu = kind.partition("_")
    stateful = what in ("state", "weight_hh_inf_state")
    layers, batch = (2, 2) if what == "bias_nan" else (1, 8 if what in ("x", "huge", "state") else 2)
    case = spec(cell, 3, hidden, layers, 3, batch, 4, nonlinearity=relu or "tanh", has_state=stateful)
    name = f"special_{kind}_{what}_h{hidden}"
    draw = Draw(name)
    weights, x, states = draw.weights(case), draw.uniform((batch, 4, 3)), draw.states(case)
    if what == "x":
        # row 0 stays ordinary: nothing may leak into it; the step before the special one stays ordinary too
        x[1, 1, 0], x[2, 1, 0], x[3, 1, 1] = NAN, INF, -INF
        x[4, 2] = [INF, -INF, 0.5]
        x[5] = 1e-40 * np.sign(x[5])
        x[6, 1], x[6, 2] = [-0.0, 0.0, 1e-45], [0.0, 0.0, 0.0]
        x[7, :, 2] = [1e30, -1e30, 3e38, -3e38] if kind != "rnn_relu" else INF
    elif what == "huge":
        # in a file of their own, because relu lets them through and the tolerance is one for a whole tensor
        x[:, 1:, :] = 0.0
        x[:, 0, 0] = [1e30, -1e30, 2e30, -2e30, 5e30, -5e30, 9e30, -9e30]
    elif what == "state":
        for state, place in zip(states.values(), (0, hidden - 1)):
            state[0, 1, place], state[0, 2, place], state[0, 3, place] = NAN, INF, -INF
            state[0, 4] = 1e-40
            state[0, 5] = -0.0
    elif what == "weight_ih_inf":
        weights["rnn.weight_ih_l0"][1, 2], weights["rnn.weight_ih_l0"][-1, 0] = INF, -INF
    elif what in ("weight_hh_inf", "weight_hh_inf_state"):
        # from the zero state, 0 * inf is NaN: a product with a zero state may not be left out
        weights["rnn.weight_hh_l0"][2, 1] = INF
    elif what == "bias_nan":
        weights["rnn.bias_hh_l1"][hidden - 1] = NAN
    elif what == "fc":
        weights["fc.weight"][0, 2], weights["fc.weight"][1, hidden - 1], weights["fc.bias"][2] = INF, NAN, -INF
    f64 = evaluate(case, weights, x, states, None, torch.float64)
    f32 = evaluate(case, weights, x, states, None, torch.float32)
    with torch.backends.mkldnn.flags(enabled=False):
        plain = evaluate(case, weights, x, states, None, torch.float32)
    for key in f64:
        # the place of a NaN or an infinity must not be a matter of precision or of PyTorch's choice of a library
        for other in (f64[key], plain[key]):
            assert np.array_equal(np.isnan(f32[key]), np.isnan(other)), f"{name}: {key}"
            assert np.array_equal(f32[key][np.isinf(f32[key])], other[np.isinf(f32[key])]), f"{name}: {key}"
    if what == "x" and kind != "rnn_relu":
        assert np.isfinite(f32["y"][[0, 2, 3, 5, 6, 7]]).all() and np.isnan(f32["y"][1, 1:]).all(), name
    case["f32_error"] = {key: error(f32[key], f64[key]) for key in f64}
    y32 = {f"{key}32": value.astype(np.float32) for key, value in f32.items()}
    save(folder, name, {**weights, "x": x, **states, **y32, **f64}, case)


def specials(folder):
    for kind in ("rnn", "rnn_relu", "lstm", "gru", "mgu"):
        for what, hidden in [
            ("x", 5), ("x", 17), ("state", 17), ("weight_ih_inf", 17), ("weight_hh_inf", 5),
            ("weight_hh_inf_state", 5), ("bias_nan", 17), ("fc", 5),
        ]:  # fmt: skip
            special(folder, kind, what, hidden)
    special(folder, "rnn_relu", "huge", 17)


# --- activations ------------------------------------------------------------------------------------------------------


def activations(folder):
    import mpmath  # comes with torch, which needs it for its symbolic shapes

    mpmath.mp.dps = 60
    sides = np.concatenate([np.geomspace(1e-45, 3.4e38, 1000), np.linspace(80, 110, 121), np.linspace(8, 10, 81)])
    edges = np.array([0.0, 2.0**-149, 2.0**-126 - 2.0**-149, 2.0**-126, np.finfo(np.float32).max, INF])
    positive = np.concatenate([sides, edges]).astype(np.float32)
    x = np.concatenate([np.linspace(-10, 10, 1601).astype(np.float32), positive, -positive, np.float32([NAN])])
    _, first = np.unique(x.view(np.uint32), return_index=True)  # by bits, so that -0 stays beside 0
    x = x[np.sort(first)]

    def tanh(v):
        return v if v == 0 or np.isnan(v) else np.sign(v) if np.isinf(v) else float(mpmath.tanh(mpmath.mpf(v)))

    def sigmoid(v):
        return v if np.isnan(v) else float(v > 0) if np.isinf(v) else float(1 / (1 + mpmath.exp(-mpmath.mpf(v))))

    truth = {"tanh": np.array([tanh(v) for v in x.tolist()]), "sigmoid": np.array([sigmoid(v) for v in x.tolist()])}
    relative = {}
    for name, value in truth.items():
        ours = getattr(torch, name)(torch.tensor(x)).double().numpy()
        normal = np.abs(value) >= 2.0**-126  # NaN compares as false
        relative[name] = float(np.max(np.abs(ours[normal] / value[normal] - 1.0)))
    save(folder, "act", {"x": x, **truth}, {"f32_relative_error": relative})


# --- training ---------------------------------------------------------------------------------------------------------


def train(case, weights, x, target, dtype):
    """PyTorch's loop. Gives the losses, norms and learning rates of all steps, the weights afterwards, and the margin:
    how near the run came to a place where a gradient jumps; where there are `targets`, the first gradients too."""
    model, (count, batch) = build(case, weights, dtype), x.shape[:2]
    options = {key: value for key, value in case["optimizer"].items() if key != "name"}
    optimizer = getattr(torch.optim, case["optimizer"]["name"])(model.parameters(), **options)
    schedule = {key: value for key, value in (case["scheduler"] or {}).items() if key != "name"}
    scheduler, criterion = None, LOSSES[case["loss"]]()
    if schedule:
        scheduler = getattr(torch.optim.lr_scheduler, case["scheduler"]["name"])(optimizer, **schedule)
    xs, targets = torch.tensor(x, dtype=dtype), torch.tensor(target, dtype=dtype)
    state, losses, norms, rates, margin, grads = None, [], [], [], np.inf, {}
    for step in range(case["steps"]):
        if state is None or case["state"] == "reset":
            zeros = torch.zeros(case["layers"], batch, case["hidden"], dtype=dtype)
            state = (zeros, zeros) if case["cell"] == "lstm" else zeros
        if case["nonlinearity"] == "relu":
            now = {name: value.detach().double().numpy() for name, value in model.state_dict().items()}
            margin = min(margin, kink_margin(case, now, x[step % count], {"h0": state.numpy()}))
        y, state = model(xs[step % count], state)
        state = tuple(s.detach() for s in state) if case["cell"] == "lstm" else state.detach()
        y = y[:, -1] if case["loss_on"] == "last" else y
        now = targets[step % count]
        loss = criterion(y, now)
        if case.get("missing"):  # each target that is there, with its own outputs
            loss = criterion(y.unflatten(-1, (-1, now.shape[-1])).mT[~now.isnan()], now[~now.isnan()].unsqueeze(-1))
        if case["loss"] in ("L1Loss", "Quantiles"):
            apart = y.unflatten(-1, (-1, target.shape[-1])) - now.unsqueeze(-2)
            margin = min(margin, apart.abs().nan_to_num(np.inf).min().item())
        optimizer.zero_grad()
        loss.backward()
        if step == 0 and "targets" in case:
            grads = {f"grad.{name}": p.grad.double().numpy().copy() for name, p in model.named_parameters()}
        most = case["clip_grad_norm"] if case["clip_grad_norm"] is not None else np.inf
        norms.append(nn.utils.clip_grad_norm_(model.parameters(), most).item())
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if scheduler:
            scheduler.step()
        losses.append(loss.item())
    final = {f"final.{name}": value.double().numpy() for name, value in model.state_dict().items()}
    return {"loss": np.array(losses), "norm": np.array(norms), "lr": np.array(rates), **grads, **final}, margin


def sine(steps, seq_len=20):
    """The lesson's data: window k holds seq_len + 1 points of sin over [k pi, (k + 1) pi]."""
    points = np.stack([np.sin(np.linspace(k * np.pi, (k + 1) * np.pi, seq_len + 1)) for k in range(steps)])
    points = points.astype(np.float32)[:, None, :, None]
    return points[:, :, :-1], points[:, :, 1:]


def recipe(case, *, steps, optimizer, state="reset", loss="MSELoss", loss_on="all", clip=None, scheduler=None):
    """Adds to a network how it is trained; optimiser and scheduler with PyTorch's names and options."""
    return case | {
        "steps": steps, "optimizer": optimizer, "state": state, "loss": loss, "loss_on": loss_on,
        "clip_grad_norm": clip, "scheduler": scheduler,
    }  # fmt: skip


ADAM = {"name": "Adam", "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False, "maximize": False}
SGD = {"name": "SGD", "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False, "maximize": False}
HOLES = {"missing": 0.4}
TRAININGS = {
    "tutorial": recipe(spec("rnn", 1, 32, 1, 1, 1, 20), steps=75, optimizer=ADAM | {"lr": 0.01}, state="carry"),
    "lstm_adamw": recipe(
        spec("lstm", 2, 9, 1, 2, 3, 7), steps=20, state="carry",
        optimizer=ADAM | {"name": "AdamW", "lr": 0.01, "weight_decay": 0.1},
    ),
    "gru_momentum_clip_step": recipe(
        spec("gru", 1, 17, 2, 1, 3, 7), steps=25, clip=0.5, optimizer=SGD | {"lr": 0.1, "momentum": 0.9},
        scheduler={"name": "StepLR", "step_size": 5, "gamma": 0.5},
    ),
    "relu_huber_amsgrad_cosine": recipe(
        spec("rnn", 2, 9, 1, 1, 3, 5, nonlinearity="relu"), steps=25, loss="HuberLoss", state="carry",
        optimizer=ADAM | {"lr": 0.02, "weight_decay": 0.05, "amsgrad": True},
        scheduler={"name": "CosineAnnealingLR", "T_max": 25, "eta_min": 0.001},
    ),
    "lstm_last_l1_nesterov": recipe(
        spec("lstm", 3, 8, 1, 2, 3, 6), steps=25, loss="L1Loss", loss_on="last",
        optimizer=SGD | {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01},
    ),
    "gru_adam_betas_clip": recipe(
        spec("gru", 2, 7, 1, 1, 3, 6), steps=25, clip=1.0, state="carry",
        optimizer=ADAM | {"lr": 0.02, "betas": [0.8, 0.95], "eps": 1e-4},
    ),
    "mgu_adam_clip": recipe(
        spec("mgu", 2, 9, 2, 1, 3, 6), steps=25, clip=1.0, state="carry", optimizer=ADAM | {"lr": 0.02}
    ),
    "rnn_sgd_dampening": recipe(
        spec("rnn", 1, 16, 2, 1, 5, 6), steps=30, optimizer=SGD | {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}
    ),
    "lstm_nobias_adam": recipe(
        spec("lstm", 2, 9, 2, 1, 1, 8, bias=False), steps=25, state="carry", optimizer=ADAM | {"lr": 0.01}
    ),
    "lstm_gaussian": recipe(
        spec("lstm", 2, 9, 1, 4, 3, 7), steps=25, loss="GaussianNLLLoss", state="carry", optimizer=ADAM | {"lr": 0.02}
    ) | {"targets": 2},
    "gru_quantiles": recipe(
        spec("gru", 2, 8, 1, 10, 3, 6), steps=25, loss="Quantiles", optimizer=SGD | {"lr": 0.1, "momentum": 0.9}
    ) | {"targets": 2, "levels": LEVELS},
    "lstm_holes": recipe(spec("lstm", 2, 9, 1, 2, 3, 7), steps=25, state="carry", optimizer=ADAM | {"lr": 0.02}) | HOLES,
    "rnn_last_l1_holes": recipe(
        spec("rnn", 2, 8, 1, 2, 5, 6), steps=25, loss="L1Loss", loss_on="last", optimizer=SGD | {"lr": 0.1}) | HOLES,
    "gru_gaussian_holes": recipe(spec("gru", 2, 8, 1, 4, 3, 6), steps=25, loss="GaussianNLLLoss", clip=1.0,
                                 optimizer=ADAM | {"lr": 0.02}) | {"targets": 2} | HOLES,
    "lstm_quantiles_holes": recipe(spec("lstm", 1, 7, 1, 10, 3, 6), steps=25, loss="Quantiles",
                                   optimizer=SGD | {"lr": 0.1, "momentum": 0.9}) | {"targets": 2, "levels": LEVELS} | HOLES,
}  # fmt: skip


def training_data(case, draw):
    """x [N,B,T,I] and target: the running mean of the inputs, which can be learnt."""
    if case["steps"] == 75:
        return sine(75)
    x = draw.uniform((4, case["batch"], case["seq_len"], case["input"]))
    count = np.arange(1, case["seq_len"] + 1)[:, None]
    mean = np.cumsum(x.mean(axis=3, keepdims=True, dtype=np.float64), axis=2) / count
    # spread so far that Huber's bend at 1 and the clipping matter
    spread = 6.0 if case["loss"] == "HuberLoss" or case["clip_grad_norm"] else 1.0
    mean = mean * spread * np.arange(1, case.get("targets", case["output"]) + 1)
    mean[draw.uniform(mean.shape, 0.5) + 0.5 < case.get("missing", 0.0)] = np.nan
    return x, (mean[:, :, -1] if case["loss_on"] == "last" else mean).astype(np.float32)


def training(folder, name, case):
    full = f"train_{name}"
    for draw in Draw.tries(full):
        weights = draw.weights(case)
        x, target = training_data(case, draw)
        f64, margin = train(case, weights, x, target, torch.float64)
        clip = case["clip_grad_norm"]
        # clipping, where asked for, has to bind in some steps and not in others
        if margin > 1e-5 and (clip is None or f64["norm"].min() < clip < f64["norm"].max()):
            break
    else:
        raise SystemExit(f"{full}: no draw will do; change the recipe")
    f32, _ = train(case, weights, x, target, torch.float32)
    errors = {key: error(f32[key], f64[key]) for key in f64 if key != "lr"}
    out = {"loss64": f64.pop("loss"), "loss32": f32["loss"].astype(np.float32), "norm64": f64.pop("norm"), **f64}
    save(folder, full, {**weights, "x": x, "target": target, **out}, {**case, "windows": len(x), "f32_error": errors})


# --- losses alone -----------------------------------------------------------------------------------------------------


def loss(folder, name, loss, width, targets=3, rows=40, **about):
    """`width` values of y for a target column. With Gaussians, s is uniform within 20: ln 1e-6 is -13.8."""
    draw = Draw(f"loss_{name}")
    target, y = draw.uniform((rows, targets), 2.0), draw.uniform((rows, width * targets), 2.0)
    if loss == "GaussianNLLLoss":
        y[:, targets:] *= 10.0
        y[:, :targets] = target + y[:, :targets] * np.exp(0.5 * np.maximum(y[:, targets:], -14.0))
        y = y.astype(np.float32)

    def evaluate(dtype):
        leaf = torch.tensor(y, dtype=dtype, requires_grad=True)
        value = LOSSES[loss]()(leaf, torch.tensor(target, dtype=dtype))
        value.backward()
        return {"loss": np.array(value.item()), "dy": leaf.grad.double().numpy()}

    f64, f32 = evaluate(torch.float64), evaluate(torch.float32)
    errors = {key: error(f32[key], f64[key]) for key in f64}
    save(folder, f"loss_{name}", {"y": y, "target": target, **f64}, {"loss": loss, **about, "f32_error": errors})


def losses(folder):
    loss(folder, "gaussian", "GaussianNLLLoss", 2)
    loss(folder, "quantiles", "Quantiles", len(LEVELS), levels=LEVELS)


def main():
    parser = argparse.ArgumentParser(description="Makes the golden files from PyTorch's answers.")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    python, packages = sys.version.split()[0], {"torch": torch, "numpy": np, "safetensors": safetensors}
    print(f"python {python},", ", ".join(f"{name} {package.__version__}" for name, package in packages.items()))
    for case in NETS:
        net(folder, *case)
    specials(folder)
    activations(folder)
    for name, case in TRAININGS.items():
        training(folder, name, case)
    losses(folder)
    import learner  # here, since it uses what is above

    learner.learners(folder)
    print(f"{sum(path.stat().st_size for path in folder.glob('*.safetensors')):8}  together")


if __name__ == "__main__":
    main()
