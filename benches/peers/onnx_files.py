"""Writes every network of a data folder as an ONNX file with the weights in it: `onnx_files.py FOLDER`.

Inputs are x [T,B,I] and the states h0, c0, h1, ... [1,B,H]; outputs are y [T,B,1] and h0_next, ...; the graph of a stream
has T 1.
"""
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nets import GATES, read_nets

# ONNX has the gates of an LSTM as i o f c where PyTorch has i f g o, and those of a GRU as z r h where it has r z n
ORDER = {"rnn": [0], "lstm": [0, 3, 1, 2], "gru": [1, 0, 2]}


def reordered(cell, tensor):
    """The rows [G·H, ...] in ONNX's order of gates, with a dimension for the direction."""
    gates = np.split(tensor, GATES[cell])
    return np.concatenate([gates[i] for i in ORDER[cell]])[None]


def graph(net):
    steps = 1 if net.kind == "step" else net.steps
    constants, nodes = [], []

    def constant(name, values):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def value(name, *dims):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)

    inputs = [value("x", steps, net.batch, net.input)]
    outputs = [value("y", steps, net.batch, 1)]
    x = "x"
    one = constant("one", np.array([1], np.int64))
    for layer in range(net.layers):
        weight_ih, weight_hh, bias_ih, bias_hh = (reordered(net.cell, w) for w in net.layer(layer))
        states = [f"{kind}{layer}" for kind in ("hc" if net.cell == "lstm" else "h")]
        for state in states:
            inputs.append(value(state, 1, net.batch, net.hidden))
            outputs.append(value(f"{state}_next", 1, net.batch, net.hidden))
        given = [
            x,
            constant(f"W{layer}", weight_ih),
            constant(f"R{layer}", weight_hh),
            constant(f"B{layer}", np.concatenate([bias_ih, bias_hh], axis=1)),
            "",
            *states,
        ]
        # PyTorch's GRU multiplies by r after the product
        extra = {"linear_before_reset": 1} if net.cell == "gru" else {}
        found = [f"all{layer}", *(f"{state}_next" for state in states)]
        nodes.append(helper.make_node(net.cell.upper(), given, found, hidden_size=net.hidden, **extra))
        # [T,1,B,H] to [T,B,H]
        nodes.append(helper.make_node("Squeeze", [f"all{layer}", one], [f"out{layer}"]))
        x = f"out{layer}"
    weight, bias = net.head()
    nodes.append(helper.make_node("MatMul", [x, constant("head", weight.T)], ["product"]))
    nodes.append(helper.make_node("Add", ["product", constant("bias", bias)], ["y"]))
    made = helper.make_graph(nodes, net.name, inputs, outputs, constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def main():
    folder = Path(sys.argv[1])
    for net in read_nets(folder):
        onnx.save(graph(net), folder / f"{net.name}.onnx")


if __name__ == "__main__":
    main()
