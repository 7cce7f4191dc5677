"""PyTorch on the workloads of the other benches, for the same record: one thread, the median of several runs.

    python benches/torch_peer.py            (any Python with torch and numpy; nothing else in the project needs them)

Prints the versions, then one line for each workload, with the id of rnnstep's bench.
"""
import statistics, time
import numpy as np
import torch
from torch import nn

torch.set_num_threads(1)


class Net(nn.Module):
    """The lesson's class."""

    def __init__(self, cell, inputs, hidden, outputs):
        super().__init__()
        self.rnn = getattr(nn, cell)(inputs, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, outputs)

    def forward(self, x, state=None):
        out, state = self.rnn(x, state)
        return self.fc(out), state


def detach(state):
    return tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()


def median(work, repeats, inner=1):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(inner):
            work()
        times.append((time.perf_counter() - start) / inner)
    return statistics.median(times)


def tutorial():
    net = Net("RNN", 1, 32, 1)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    criterion = nn.MSELoss()
    state = None
    for step in range(75):
        data = np.sin(np.linspace(step * np.pi, (step + 1) * np.pi, 21)).astype(np.float32)
        x, y = torch.from_numpy(data[:-1]).view(1, 20, 1), torch.from_numpy(data[1:]).view(1, 20, 1)
        prediction, state = net(x, state)
        state = detach(state)
        loss = criterion(prediction, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def train_step(cell):
    net, x, y = Net(cell, 8, 128, 1), torch.randn(32, 50, 8), torch.randn(32, 50, 1)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)

    def step():
        loss = nn.functional.mse_loss(net(x)[0], y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def main():
    import platform

    print(f"# torch {torch.__version__}, numpy {np.__version__}, Python {platform.python_version()}, 1 thread")
    tutorial()
    print(f"rnn_train/torch/tutorial_75 {median(tutorial, 15) * 1e3:.2f} ms")
    for cell in ("RNN", "LSTM", "GRU"):
        step = train_step(cell)
        step()
        print(f"{cell.lower()}_train/torch/T50_B32_H128 {median(step, 30) * 1e3:.2f} ms")
    with torch.inference_mode():
        for cell in ("RNN", "LSTM", "GRU"):
            net, x = Net(cell, 8, 128, 1).eval(), torch.randn(32, 100, 8)
            net(x)
            print(f"{cell.lower()}_forward/torch/T100_B32_H128 {median(lambda: net(x), 50) * 1e3:.2f} ms")
        for cell in ("RNN", "LSTM", "GRU"):
            net, x, state = Net(cell, 1, 32, 1).eval(), torch.randn(1, 1, 1), None
            state = net(x)[1]
            print(f"{cell.lower()}_step/torch/H32 {median(lambda: net(x, state), 50, 100) * 1e6:.1f} µs")


main()
