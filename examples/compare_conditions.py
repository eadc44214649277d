"""Trains the four memory conditions alike, and shows what each costs and brings (sec. 3.2).

    python examples/compare_conditions.py clips/ heldout/ --minutes 20 -o conditions/

Each condition trains from nothing for the same time, with the same seed and so the same pairs of frames. Then
`measure_heldout.py` measures it on people whom training never saw. Run again, it trains only what is missing.
Settings after `--` go to `mcnet train`, e.g. `-- --set schedule.small_share=1`.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median

from mcnet_cli.checkpoint import build_model, read_weights

CONDITIONS = ("both", "keypoints", "features", "none")
FIGURES = ("error", "mouth", "inner_mouth", "flow", "landmarks", "across_mouth", "across_eyes")


def trained(condition: str, clips: Path, run: Path, minutes: float, more: list[str]) -> Path:
    """The weights of one condition's run; it is begun, or goes on, if they are missing."""
    weights = run / "weights.safetensors"
    if not weights.is_file():
        words = [sys.executable, "-m", "mcnet_cli", "train", str(clips), "-o", str(run)]
        settings = ["--minutes", str(minutes), "--set", f"model.memory.condition={condition}"]
        settings += ["--set", "openings.steps=0"]  # that stage leaves the memory as it is
        subprocess.run([*words, *settings, *more], check=True)
    return weights


def figures(condition: str, weights: Path, heldout: Path) -> dict[str, float | str]:
    """One row of the table: cost, and the means over the held-out clips."""
    rows = [json.loads(line) for line in (weights.parent / "log.jsonl").read_text().splitlines()]
    parameters = sum(tensor.numel() for tensor in build_model(read_weights(weights)).parameters())
    script = Path(__file__).with_name("measure_heldout.py")
    words = [sys.executable, str(script), str(weights), str(heldout), "--json"]
    measured = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)["mean"]
    return {
        "condition": condition,
        "parameters, M": round(parameters / 1e6, 3),
        "steps": rows[-1]["step"],
        "samples/s": round(median(row["samples_per_s"] for row in rows), 2),
        **{name: round(measured[name], 3) for name in FIGURES},
    }


def main() -> None:
    """Trains, measures and prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("heldout", type=Path)
    parser.add_argument("--output", "-o", type=Path, default=Path("conditions"))
    parser.add_argument("--minutes", type=float, default=20.0)
    own, more = sys.argv[1:], []
    if "--" in own:
        own, more = own[: own.index("--")], own[own.index("--") + 1 :]
    options = parser.parse_args(own)
    table = []
    for condition in CONDITIONS:
        weights = trained(condition, options.clips, options.output / condition, options.minutes, more)
        table.append(figures(condition, weights, options.heldout))
    print("| " + " | ".join(table[0]) + " |")
    print("|" + "---|" * len(table[0]))
    for row in table:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")


if __name__ == "__main__":
    main()
