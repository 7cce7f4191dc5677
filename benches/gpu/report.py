"""A table in Markdown of what `gpu` and `torch_peer.py` measured: every figure of the grid, also where rnnstep is slower.

    python3 report.py rnnstep.jsonl torch.jsonl > grid.md

Ratios are PyTorch's time over rnnstep's, so above one rnnstep is faster. PyTorch's time is that of its better mode, eager or
graph. Exits with 1 if a figure of rnnstep has no counterpart, or anything went wrong in either run. Needs only Python.
"""
import json
import math
import sys

KEYS = ("what", "cell", "H", "B", "I", "L", "T", "dtype", "product", "steps")
MEASURED = ("lesson", "tick", "fwd", "fwdbwd", "train", "product")
TITLES = {
    "lesson": "The lesson, from fresh weights: milliseconds",
    "tick": "One step from host to host: microseconds",
    "fwd": "Forward: microseconds",
    "fwdbwd": "Forward and backward: microseconds",
    "train": "A training step with Adam: microseconds",
    "product": "Products of all steps at once: microseconds",
}
FULL = ("f32", "bf16")
# The goals: a name, which figures, and the least ratio.
GOALS = [
    ("the lesson's training", lambda k: k["what"] == "lesson" and k["cell"] == "rnn", 20),
    ("H up to 128, forward", lambda k: k["what"] == "fwd" and k["H"] <= 128, 1.5),
    ("H up to 128, forward and backward", lambda k: k["what"] == "fwdbwd" and k["H"] <= 128, 1.3),
    ("H 256 to 1024 in f32 and bf16, forward", lambda k: k["what"] == "fwd" and k["H"] >= 256 and k["dtype"] in FULL, 4),
    ("H 256 to 1024 in f32 and bf16, forward and backward",
     lambda k: k["what"] == "fwdbwd" and k["H"] >= 256 and k["dtype"] in FULL, 2.5),
    ("H from 128 in f16, forward", lambda k: k["what"] == "fwd" and k["H"] >= 128 and k["dtype"] == "f16", 1),
    ("products, against cuBLAS", lambda k: k["what"] == "product", 0.85),
]


def read(path):
    """The lines of a run, and its figures by what they measure."""
    with open(path) as file:
        lines = [json.loads(text) for text in file if text.strip()]
    figures = {}
    for line in lines:
        if line["what"] in MEASURED:
            figures[tuple(line.get(key) for key in KEYS)] = line
    return lines, figures


def best(line):
    return line.get("best_us", line.get("best_ms"))


def number(x):
    return "" if x is None else f"{x:.3g}" if x < 1000 else f"{x:.0f}"


def mode(line, name):
    found = line.get(name)
    return found["median"] if isinstance(found, dict) else found


def mean(ratios):
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def main(ours_path, theirs_path):
    (our_lines, ours), (their_lines, theirs) = read(ours_path), read(theirs_path)
    about = [next(line for line in lines if line["what"] == "about") for lines in (our_lines, their_lines)]
    ratios = {key: best(theirs[key]) / best(line) for key, line in ours.items() if key in theirs}
    print(f"# rnnstep {about[0]['version']} next to PyTorch {about[1]['version']} on {about[0]['device']}\n")
    print(f"{about[1]['date']}. {about[0]['arch']}, {about[0]['multiprocessors']} multiprocessors, driver for CUDA {about[0]['cuda']};"
          f" PyTorch with CUDA {about[1]['cuda']}, cuDNN {about[1]['cudnn']}, on {about[1]['device']}.")
    if about[0]["device"].startswith("Emulated") or about[1]["cudnn"] is None or "no GPU" in about[1]["device"]:
        print("**A trial of the programs, not on one GPU: no figure here means anything.**\n")
    print("Medians; PyTorch's better mode of eager and graph; ratio above 1: rnnstep is faster.\n")
    print("## Goals\n\n| figures | goal | geometric mean | least | at the goal | of |\n|---|---|---|---|---|---|")
    for title, wanted, goal in GOALS:
        found = [ratio for key, ratio in ratios.items() if wanted(dict(zip(KEYS, key)))]
        if found:
            reached = sum(ratio >= goal for ratio in found)
            print(f"| {title} | {goal} | {mean(found):.2f} | {min(found):.2f} | {reached} | {len(found)} |")
        else:
            print(f"| {title} | {goal} | not measured | | | |")
    print("\n## Answers after 20 steps, against float64\n\n| of | dtype | largest error of y | of gradients |\n|---|---|---|---|")
    answers = [line for line in their_lines if line["what"] == "answers"]
    for of, dtype in sorted({(line["of"], line["dtype"]) for line in answers}):
        these = [line for line in answers if (line["of"], line["dtype"]) == (of, dtype)]
        off = [max(line[name] for line in these) for name in ("off_y", "off_gradients")]
        print(f"| {of} | {dtype} | {off[0]:.1e} | {off[1]:.1e} |")
    for what in MEASURED:
        rows = [(key, line) for key, line in ours.items() if key[0] == what]
        if not rows:
            continue
        print(f"\n## {TITLES[what]}\n")
        shown = [i for i, name in enumerate(KEYS) if i > 0 and any(key[i] is not None for key, _ in rows)]
        heads = [KEYS[i] for i in shown] + ["frame", "rnnstep", "plain", "graph", "PyTorch eager", "graph", "ratio"]
        print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
        for key, line in rows:
            peer = theirs.get(key, {})
            cells = [str(key[i]) for i in shown] + [line.get("frame", "")]
            cells += [number(best(line)), number(mode(line, "plain_us")), number(mode(line, "graph_us"))]
            cells += [number(mode(peer, "eager_us") or best(peer)), number(mode(peer, "graph_us"))]
            print("| " + " | ".join(cells) + f" | {ratios[key]:.2f} |" if key in ratios else "| " + " | ".join(cells) + " | not measured |")
    wrong = [(name, line) for name, lines in (("rnnstep", our_lines), ("PyTorch", their_lines)) for line in lines if line["what"] == "error"]
    if wrong:
        print("\n## What went wrong\n")
        for name, line in wrong:
            print(f"- {name}: {json.dumps({key: value for key, value in line.items() if key != 'what'})}")
    missing = len(ours) - len(ratios)
    if missing:
        print(f"\n{missing} figures have no counterpart of PyTorch's.")
    if not ours:
        print("\nNothing was measured.")
    return 1 if wrong or missing or not ours else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2]))
