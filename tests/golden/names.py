"""Writes `names.json`: the names and shapes of PyTorch modules that people write around a recurrent network.

    python tests/golden/names.py                              # writes names.json
    python tests/golden/names.py target/release/rnnstep       # trains each with the binary, and loads it back strictly

Each entry has the `state_dict` of a module by name and shape, and what is true of it: `head`, the name of the layer that
turns h into y (`null` if y is h), or `refused`, the names of layers that rnnstep does not have. Where neither shape nor
name shows the head, `unclear` says so: it is then read with `--head` only.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from torch import nn


def module(**layers):
    made = nn.Module()
    for name, layer in layers.items():
        made.add_module(name, layer)
    return made


def good():
    """Modules that rnnstep can compute, with the name of their head."""
    yield "lesson", module(rnn=nn.RNN(1, 10, batch_first=True), fc=nn.Linear(10, 1)), "fc"
    yield "lstm and linear", module(lstm=nn.LSTM(1, 8), linear=nn.Linear(8, 1)), "linear"
    yield "two layers", module(gru=nn.GRU(3, 5, 2), out=nn.Linear(5, 2)), "out"
    yield "bare network", nn.LSTM(2, 4), None
    yield "cell", module(cell=nn.LSTMCell(1, 6), head=nn.Linear(6, 1)), "head"
    yield "GRU cell alone", nn.GRUCell(2, 3), None
    yield "no biases", module(rnn=nn.GRU(2, 3, bias=False), fc=nn.Linear(3, 4, bias=False)), "fc"
    yield "head without a bias", module(rnn=nn.LSTM(2, 3), decoder=nn.Linear(3, 2, bias=False)), "decoder"
    yield "square", module(rnn=nn.GRU(4, 4), readout=nn.Linear(4, 4)), "readout"
    yield "a name that says nothing", module(rnn=nn.GRU(2, 4), l2=nn.Linear(4, 3)), "l2"
    yield "in parallel", nn.DataParallel(module(rnn=nn.LSTM(1, 4), fc=nn.Linear(4, 1))), "module.fc"
    yield "nested", module(encoder=module(rnn=nn.GRU(2, 4), fc=nn.Linear(4, 2))), "encoder.fc"
    yield "list", nn.ModuleList([nn.LSTM(2, 2), nn.Linear(2, 2)]), "1"
    yield "head in a sequence", module(rnn=nn.LSTM(1, 4), head=nn.Sequential(nn.Dropout(), nn.Linear(4, 1))), "head.1"
    yield "dropout", module(lstm=nn.LSTM(1, 4, 2, dropout=0.5), drop=nn.Dropout(), predictor=nn.Linear(4, 1)), "predictor"


def bad():
    """Modules with layers that rnnstep does not have, and their names."""
    yield "linear in front", module(inp=nn.Linear(7, 3), rnn=nn.GRU(3, 5), fc=nn.Linear(5, 1)), ["inp"]
    yield "square in front, no head", module(in_proj=nn.Linear(2, 2), rnn=nn.GRU(2, 2)), ["in_proj"]
    yield "list in front", nn.ModuleList([nn.Linear(2, 2), nn.LSTM(2, 2)]), ["0"]
    yield "embedding", module(embedding=nn.Embedding(50, 3), rnn=nn.LSTM(3, 5), fc=nn.Linear(5, 50)), ["embedding"]
    yield "wide embedding", module(emb=nn.Embedding(50, 5), rnn=nn.LSTM(5, 5)), ["emb"]
    yield "skip", module(rnn=nn.GRU(5, 5), fc=nn.Linear(5, 1), skip=nn.Linear(5, 1)), ["skip"]
    yield "layer norm", module(rnn=nn.GRU(1, 4), norm=nn.LayerNorm(4), fc=nn.Linear(4, 1)), ["norm"]
    yield "batch norm", module(bn=nn.BatchNorm1d(2), rnn=nn.GRU(2, 4), fc=nn.Linear(4, 1)), ["bn"]
    yield "batch norm alone", module(bn=nn.BatchNorm1d(2, affine=False), rnn=nn.GRU(2, 4)), ["bn"]
    yield "convolution", module(conv=nn.Conv1d(1, 3, 5), rnn=nn.LSTM(3, 4), fc=nn.Linear(4, 1)), ["conv"]
    yield "attention", module(rnn=nn.LSTM(1, 4), attn=nn.MultiheadAttention(4, 2), fc=nn.Linear(4, 1)), ["attn"]
    yield "score of attention", module(rnn=nn.LSTM(1, 4), attention=nn.Linear(4, 1)), ["attention"]
    yield "deep head", module(rnn=nn.LSTM(1, 4), fc=nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))), ["fc"]
    yield "two heads", module(rnn=nn.LSTM(1, 4), mean=nn.Linear(4, 1), variance=nn.Linear(4, 1)), ["variance"]
    yield "two networks", module(lstm1=nn.LSTM(1, 4), lstm2=nn.LSTM(4, 4), fc=nn.Linear(4, 1)), ["lstm2"]
    yield "bidirectional", module(rnn=nn.GRU(1, 4, bidirectional=True), fc=nn.Linear(8, 1)), ["rnn"]
    yield "projection", module(rnn=nn.LSTM(1, 4, proj_size=2), fc=nn.Linear(2, 1)), ["rnn"]
    yield "weight norm", module(rnn=nn.GRU(1, 4), fc=nn.utils.weight_norm(nn.Linear(4, 1))), ["fc"]
    yield "prelu", module(rnn=nn.GRU(1, 4), act=nn.PReLU(), fc=nn.Linear(4, 1)), ["act"]


def unclear():
    """Modules in which neither shape nor name shows that the layer is the head."""
    yield "square, a name that says nothing", module(rnn=nn.GRU(2, 2), proj=nn.Linear(2, 2)), "proj"
    yield "one input and one output", module(rnn=nn.GRU(1, 4), l2=nn.Linear(4, 1)), "l2"


def shapes(made):
    return {name: list(tensor.shape) for name, tensor in made.state_dict().items()}


def cases():
    for key, modules in [("head", good()), ("refused", bad()), ("unclear", unclear())]:
        for name, made, truth in modules:
            yield {"module": name, key: truth, "state_dict": shapes(made)}, made


def check(binary):
    from safetensors.torch import load_file, save_file

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for case, made in cases():
            if "head" not in case:
                continue
            save_file(made.state_dict(), folder / "user.safetensors")
            inputs = next(dims[1] for name, dims in case["state_dict"].items() if "weight_ih" in name)
            hidden = next(dims[1] for name, dims in case["state_dict"].items() if "weight_hh" in name)
            outputs = case["state_dict"].get(f"{case['head']}.weight", [hidden])[0]
            data = {"x": torch.randn(6, 1, 9, inputs), "target": torch.randn(6, 1, 9, outputs)}
            save_file(data, folder / "data.safetensors")
            command = "train data.safetensors --init user.safetensors --no-plot --out out.safetensors --steps 4"
            subprocess.run([binary, *command.split()], cwd=folder, check=True, capture_output=True)
            trained = load_file(folder / "out.safetensors")
            # training moves the bias of a head that has none
            extra = set(trained) - set(case["state_dict"])
            assert extra <= {f"{case['head']}.bias"}, (case["module"], extra)
            before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
            made.load_state_dict({name: tensor for name, tensor in trained.items() if name not in extra}, strict=True)
            moved = any((before[name] != tensor).any() for name, tensor in made.state_dict().items())
            assert moved, case["module"]
            print("ok  ", case["module"], *extra)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        check(pathlib.Path(sys.argv[1]).resolve())
    else:
        lines = ",\n".join(json.dumps(case) for case, _ in cases())
        (pathlib.Path(__file__).parent / "names.json").write_text(f"[\n{lines}\n]\n")
