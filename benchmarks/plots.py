"""Draws what benchmarks.growth measured, into docs/performance/.

    python -m benchmarks.plots FILE...

FILE is what `python -m benchmarks.growth --json FILE` wrote, one for each database.  Needs matplotlib: `pip install -e .[benchmark]`.
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot

FOLDER = Path(__file__).parents[1] / "docs" / "performance"
COLOURS = {"sqlite": "tab:blue", "postgres": "tab:orange"}
PLOTS = {
    "send-members.png": ("members of the room", "members", ("send, members of the room", "state change, members of the room")),
    "send-events.png": (
        "events in the room",
        "events",
        ("send, events in the room", "/messages, the newest 100", "/messages, the oldest 100"),
    ),
    "sync-rooms.png": (
        "rooms of the user",
        "rooms",
        (
            "send and /sync, rooms of the user",
            "state and /sync, rooms of the user",
            "/sync without news, rooms of the user",
            "/sync with nothing in memory, rooms of the user",
        ),
    ),
}
STYLES = ("-o", "--s", ":^", "-.d")


def draw(name: str, runs: list[dict[str, Any]]) -> None:
    """One picture: CPU by size."""
    title, unit, wanted = PLOTS[name]
    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    highest = 0.0
    for run in runs:
        for style, what in zip(STYLES, wanted, strict=False):
            points = sorted((one["size"], one["cpu_us"] / 1000) for one in run["figures"] if one["what"] == what)
            if points:
                label = f"{what.removesuffix(', ' + title)}, {run['engine']}"
                axes.plot(*zip(*points, strict=True), style, color=COLOURS[run["engine"]], label=label, markersize=4)
                highest = max(highest, *(cost for _, cost in points))
    axes.set(xscale="log", xlabel=unit, ylabel="CPU ms of the server's process", ylim=(0, 1.15 * highest or 1), title=f"Cost by {title}")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(FOLDER / name, dpi=90)
    pyplot.close(figure)


def main() -> None:
    """Draw all pictures."""
    FOLDER.mkdir(exist_ok=True)
    runs = [json.loads(Path(path).read_text()) for path in sys.argv[1:]]
    for name in PLOTS:
        draw(name, runs)


if __name__ == "__main__":
    main()
