"""The lines that programs print, their results over several passes, and tables of them."""
import json
import math
import statistics
from dataclasses import dataclass, field

# the largest error of an answer, or the largest relative error of a loss; src/check.rs has the same
TOLERANCE = 1e-5
TAIL = ("p50", "p99", "p99.9", "max")
OURS = "rnnstep"
# columns of the table in docs/guide/speed.md
PEERS = ("PyTorch", "libtorch", "ONNX Runtime", "tract", "candle", "burn", "nexus-inference", "RTNeural")


class BadLine(Exception):
    """A line that does not keep to the protocol of README.md."""


def parse(text, source):
    """The line `text`, which `source` (a program and the number of the line) printed."""

    def need(right, what):
        if not right:
            raise BadLine(f"{source}: {what}: {text}")

    def is_number(value):
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0

    try:
        line = json.loads(text)
    except ValueError as error:
        raise BadLine(f"{source}: not JSON ({error}): {text}") from None
    need(isinstance(line, dict), "not an object")
    need(isinstance(line.get("workload"), str) and line["workload"].count("/") == 1, "workload is not KIND/SIZE")
    need(isinstance(line.get("variant", ""), str), "variant is not a text")
    need(isinstance(line.get("threads"), int) and line["threads"] >= 1, "threads is not a number from 1")
    if "left_out" in line:
        need(isinstance(line["left_out"], str), "left_out is not a text")
        return line
    need(is_number(line.get("error")), "error is not a number, so nobody knows whether the answers are right")
    times = [name for name in ("ns", *TAIL) if name in line]
    need("ns" in times or "p50" in times, "neither ns nor p50")
    for name in times:
        need(is_number(line[name]), f"{name} is not a number")
    if line["error"] > TOLERANCE:
        line["left_out"] = f"off by {line['error']:.1e}, more than {TOLERANCE:.0e}"
    return line


@dataclass
class Result:
    """One variant of a peer at one workload, over all passes."""

    workload: str
    threads: int
    peer: str
    variant: str
    error: float = 0.0
    left_out: str | None = None
    times: dict = field(default_factory=dict)

    def add(self, line):
        if "left_out" in line:
            self.left_out = line["left_out"]
            return
        self.error = max(self.error, line["error"])
        for name in ("ns", *TAIL):
            if name in line:
                self.times.setdefault(name, []).append(line[name])

    def best(self, name="ns"):
        """The best pass; None where it was not measured."""
        return min(self.times[name]) if name in self.times else None

    def as_json(self):
        said = dict(workload=self.workload, threads=self.threads, peer=self.peer, variant=self.variant)
        if self.left_out is not None:
            return said | dict(left_out=self.left_out)
        best = {name: round(min(times), 2) for name, times in self.times.items()}
        median = {name: round(statistics.median(times), 2) for name, times in self.times.items()}
        return said | dict(error=self.error, best=best, median=median)


class Results:
    """All results, in the order in which they came."""

    def __init__(self):
        self.all = {}

    def add(self, line):
        key = (line["workload"], line["threads"], line["peer"], line.get("variant", ""))
        self.all.setdefault(key, Result(*key)).add(line)

    def workloads(self):
        """(workload, threads) and what was measured there."""
        found = {}
        for result in self.all.values():
            if result.left_out is None:
                found.setdefault((result.workload, result.threads), []).append(result)
        return found

    def left_out(self):
        """The peers that take no part, and where: a line for each."""
        places = {}
        for result in self.all.values():
            if result.left_out is not None:
                name = f"{result.peer}, {result.variant}" if result.variant else result.peer
                places.setdefault((name, result.left_out), []).append(result.workload)
        for (name, why), workloads in places.items():
            kinds = sorted({workload.split("/")[0] for workload in workloads})
            where = ", ".join(kinds if len(workloads) > 2 else dict.fromkeys(workloads))
            yield f"{name}: {why} ({where})"

    def text(self):
        """Every result, for the terminal."""
        yield f"{'ns':>12} {'ratio':>7} {'p50':>8} {'p99':>8} {'p99.9':>9} {'max':>10} {'error':>8}  who"
        for (workload, threads), results in self.workloads().items():
            yield ""
            yield f"{workload}, {counted(threads)}"
            ours = base(results)
            for result in sorted(results, key=lambda result: result.best() or result.best("p50")):
                ns = result.best()
                ratio = f"{ns / ours:.2f}" if ns and ours else ""
                tail = [result.best(name) for name in TAIL]
                cells = [f"{value:.0f}" if value is not None else "" for value in tail]
                who = f"{result.peer}, {result.variant}" if result.variant else result.peer
                shown = f"{ns:.1f}" if ns else ""
                yield (
                    f"{shown:>12} {ratio:>7} {cells[0]:>8} {cells[1]:>8} {cells[2]:>9} {cells[3]:>10}"
                    f" {result.error:8.1e}  {who}"
                )

    def markdown(self):
        """The table of docs/guide/speed.md: rnnstep's time, and how many times as long each peer's best variant takes."""
        yield "| | rnnstep | " + " | ".join(PEERS) + " |"
        yield "|---|---|" + "---|" * len(PEERS)
        for (workload, threads), results in self.workloads().items():
            ours = base(results)
            if ours is None:
                continue
            cells = []
            for peer in PEERS:
                times = [result.best() for result in results if result.peer == peer and result.best()]
                cells.append(ratio_text(min(times) / ours) if times else "")
            name = workload if threads == 1 else f"{workload}, {counted(threads)}"
            yield f"| {name} | {time_text(ours)} | " + " | ".join(cells) + " |"


def base(results):
    """rnnstep's own time, without a variant."""
    ours = [result.best() for result in results if result.peer == OURS and result.variant == ""]
    return ours[0] if ours else None


def counted(threads):
    return "1 thread" if threads == 1 else f"{threads} threads"


def ratio_text(ratio):
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def time_text(ns):
    for unit, size in (("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.3g} ns"
