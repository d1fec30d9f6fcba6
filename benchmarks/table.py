"""The table of docs/performance.md out of what hsbench wrote.

    python -m benchmarks.table --sqlite FILE... --postgres FILE... [--write]

FILE is what `hsbench --json` made; of a scenario that is in several the last counts.  What was not measured stays empty.  Where an aim is
missed, the figure is bold.  `--write` puts the table into docs/performance.md, between its two marks.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- table: python -m benchmarks.table --write -->\n", "<!-- end of table -->\n"
MEMORY = "memory after the runs"


@dataclass(frozen=True)
class Row:
    """A scenario: its metrics in hsbench; what peers take (Synapse on both, Dendrite, Palpo); what we aim at on both."""

    title: str
    metrics: tuple[str, ...]
    peers: tuple[str, str, str, str]
    aims: tuple[tuple[float, ...], tuple[float, ...]]


ROWS = (
    Row(
        "register / login without the hash",
        ("register", "login"),
        ("16 / 9.2", "24 / 13", "6.2 / 5.2", "(31 / 27 with it)"),
        ((1.2, 0.8), (2, 1.2)),
    ),
    Row("send-one-room", ("send-one-room",), ("7.7", "13", "46", "51"), ((0.7,), (1.2,))),
    Row("send-many-rooms", ("send-many-rooms",), ("12", "15", "23", "12"), ((0.7,), (1.2,))),
    Row("fanout, a delivery (100 members)", ("fanout",), ("3.4", "7.3", "73", "15"), ((0.15,), (0.15,))),
    Row("join-storm", ("join-storm",), ("20", "41", "60", "182"), ((1.5,), (2.5,))),
    Row("room-members (200 members)", ("room-members",), ("3.5", "5.5", "4.0", "90"), ((0.5,), (0.5,))),
    Row("room-create", ("room-create",), ("61", "114", "119", "103"), ((4,), (7,))),
    Row("messages, page of 100", ("messages-page-100",), ("34", "18", "15", "333"), ((0.8,), (1.2,))),
    Row("sync-initial, 100 rooms of 20 messages", ("sync-initial",), ("372", "825", "228", "12,357"), ((12,), (15,))),
    Row("the same, lazy members, all messages", ("sync-initial-lazy",), ("", "", "", ""), ((), ())),
    Row("sliding-initial, 20 rooms", ("sliding-initial-20",), ("44", "67", "none", "1,699"), ((2.5,), (3,))),
    Row("sync of a user without rooms", ("sync-empty-initial",), ("3.7", "8.6", "8.1", "?"), ((0.25,), (0.3,))),
    Row(
        "keys: upload 50 / query 100 users / claim 100",
        ("keys-upload-50-otk", "keys-query-all", "keys-claim-all"),
        ("7.8 / 6.5 / 53", "13 / 7.5 / 17", "11 / 97 / 47", "15 / 48 / 32"),
        ((0.6, 0.6, 2), (1, 0.8, 3)),
    ),
    Row("to-device, a delivery", ("to-device-fanout",), ("2.1", "2.8", "39", "5.3"), ((0.15,), (0.2,))),
    Row(
        "media 1 MiB up / down",
        ("media-upload-1MiB", "media-download-1MiB"),
        ("8 / 5", "7 / 3", "4.5 / 1.0", "3.5 / 1.5"),
        ((2.5, 1), (2.5, 1)),
    ),
    Row("fed-join (both servers)", ("fed-join",), ("78", "174", "81", "352"), ((7,), (10,))),
    Row("fed-latency, one message (both)", ("fed-latency",), ("40", "84", "52", "353"), ((3,), (4,))),
    Row("fed-throughput, a message (both)", ("fed-throughput",), ("36", "46", "71", "157"), ((1.5,), (2.5,))),
    Row("fed-join-large, 1,000 members (both)", ("fed-join-1000-members",), ("1,860", "3,350", "20,180", "not run"), ((250,), (300,))),
    Row(f"{MEMORY}, MiB / KiB a waiting client", (), ("258 / 48", "261 / ?", "341 / 59", "228 / ?"), ((120, 20), (120, 20))),
)


def read(files: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """The metrics of files, by name."""
    return {one["median"]["name"]: one["median"] for file in files for one in json.loads(file.read_text())["metrics"]}


def figures(row: Row, found: dict[str, dict[str, Any]]) -> list[float | None]:
    """What this server took."""
    if row.title.startswith(MEMORY):
        local = [one for one in found.values() if "homeserver" in one.get("pss_after_mib", {})]
        waiting = found.get("sync-idle", {}).get("extra", {}).get("KiB/connection")
        return [max((one["pss_after_mib"]["homeserver"] for one in local), default=None), waiting]
    return [found[name]["cpu_ms_per_op"] if name in found else None for name in row.metrics]


def told(values: Iterable[float | None], aims: tuple[float, ...]) -> str:
    """A cell: bold what is over its aim."""
    cells = []
    for number, value in enumerate(values):
        over = value is not None and number < len(aims) and value > aims[number]
        text = "" if value is None else f"{value:.2g}" if value < 10 else f"{value:,.0f}"
        cells.append(f"**{text}**" if over else text)
    return " / ".join(cells) if any(cells) else ""


def table(sqlite: dict[str, dict[str, Any]], postgres: dict[str, dict[str, Any]]) -> str:
    """The table in Markdown."""
    names = ("Synapse, SQLite", "Synapse, PostgreSQL", "Dendrite, PostgreSQL", "Palpo, PostgreSQL")
    head = ("CPU ms an operation", "here, SQLite", "aim", "here, PostgreSQL", "aim", *names)
    lines = [head, ("---",) * len(head)]
    for row in ROWS:
        aims = [" / ".join(f"{aim:g}" for aim in each) for each in row.aims]
        ours = [told(figures(row, found), each) for found, each in zip((sqlite, postgres), row.aims, strict=True)]
        lines.append((row.title, ours[0], aims[0], ours[1], aims[1], *row.peers))
    return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |").replace("|  |", "| |") for line in lines)


def main() -> None:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sqlite", nargs="*", type=Path, default=[])
    parser.add_argument("--postgres", nargs="*", type=Path, default=[])
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args(sys.argv[1:])
    made = table(read(asked.sqlite), read(asked.postgres))
    if not asked.write:
        print(made, end="")
        return
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + BEGIN + "\n" + made + "\n" + END + rest.partition(END)[2])


if __name__ == "__main__":
    main()
