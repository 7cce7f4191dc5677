"""The networks that `peers FOLDER` wrote, for the peers in Python."""
from dataclasses import dataclass
from pathlib import Path

import numpy as np

GATES = {"rnn": 1, "lstm": 4, "gru": 3}


@dataclass
class Net:
    """A network: its sizes, weights and sequences; the letters are those of rnnstep, x is [T,B,I]."""

    folder: Path
    kind: str
    cell: str
    size: str
    input: int
    hidden: int
    layers: int
    steps: int
    batch: int

    @property
    def name(self):
        return f"{self.cell}_{self.size}"

    def tensors(self):
        """In the order of PyTorch's state_dict."""
        flat, at = self.read("weights"), 0
        rows, shapes = GATES[self.cell] * self.hidden, []
        for layer in range(self.layers):
            columns = self.hidden if layer else self.input
            shapes += [(rows, columns), (rows, self.hidden), (rows,), (rows,)]
        found = []
        for shape in [*shapes, (1, self.hidden), (1,)]:
            length = int(np.prod(shape))
            found.append(flat[at : at + length].reshape(shape))
            at += length
        assert at == len(flat), f"{self.name}.weights: {len(flat)} values where there should be {at}"
        return found

    def layer(self, layer):
        return self.tensors()[4 * layer : 4 * layer + 4]

    def head(self):
        return self.tensors()[-2:]

    def x(self):
        return self.read("x").reshape(self.steps, self.batch, self.input)

    def target(self):
        return self.read("target").reshape(self.steps, self.batch, 1)

    def y(self):
        """The truth, in float64."""
        return self.read("y", np.float64).reshape(self.steps, self.batch, 1)

    def loss(self):
        return float(np.mean((self.y() - self.target()) ** 2))

    def read(self, end, kind=np.float32):
        return np.fromfile(self.folder / f"{self.name}.{end}", kind)


def read_nets(folder, kind=None):
    """Every network of the folder, or those of a kind: step, forward, train, lesson."""
    for line in (folder / "nets.txt").read_text().splitlines():
        found, cell, size, *numbers = line.split()
        if kind in (None, found):
            yield Net(folder, found, cell, size, *map(int, numbers))
