"""Every benchmark of speed in turn, written as docs/performance.md with a table and a plot.

What was measured on another kind of processor stays there beside it: ratios depend on what it can
do, as int8 products do on VNNI.

    python scripts/bench/performance.py --data data/meld --index indexes/meld --out docs

Each script prints a line of JSON for each figure: name, ours, reference, ratio, unit, target
("at least 0.90" or "at most 1.00", of the ratio; null: none), limited_by. They are kept in
`performance.json` beside the page, by kind of machine. `--only` runs some of the scripts again and
keeps the lines of the others; a script that fails is named and keeps its old lines.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from ragemo.cores import cores

HERE = Path(__file__).parent

SCRIPTS: dict[str, tuple[str, ...]] = {
    "index_build.py": ("--data", "{data}", "--f1"),
    "search.py": ("--data", "{data}"),
    "memory.py": ("--data", "{data}", "--sizes", "10000", "40000"),
    "commands.py": (),
    "throughput.py": (),
    "local_llm.py": ("{index}", "{data}/dev_sent_emo.csv"),
}
"""The scripts, and their arguments."""

PAGE = """# Performance

Written by `python scripts/bench/performance.py --data data/meld --index indexes/meld --out docs`,
which runs every script of speed. Figures are kept in [performance.json](performance.json).

Ours and the reference are measured in one run, in turn, on the same data: seconds differ from
machine to machine, trust the ratios. They, too, depend on the processor: one with VNNI multiplies
int8 numbers several times as fast. The figures of another kind of processor stay as they were when
they were last measured, by the scripts as they were then.

Two kinds of lines are there to be known beside ones with a target. `ragemo index build` fits the
index's voters, too, in which the forward pass has no part: against the forward pass, the index of
windows has the target (until 2026-11-28 the whole build had it). Raw FAISS is the reference as its
wheels come; where they do not know the processor and ragemo does, one line more for each search
tells what FAISS does with the products that ragemo gives it.

Prediction is compared with loops that post the same prompts and do nothing else. A loop over the
official client is what people write; `posting` leaves out its types, `bare` all of it but its HTTP
library. `aiohttp` does so little that latency alone bounds it (1,280 calls a second), and what
ragemo does beside for each utterance (own processor time) takes one core longer than the latency
leaves. Its own target allows a millisecond, with which one core does 1,000 utterances a second.
{sections}
What is measured, and against what, is told at the head of each script in `scripts/bench/`.
"""

SECTION = """
## On {machine}

Measured {when}.

{table}

![Each ratio on a logarithmic scale, and its target](images/{plot})
"""


@dataclass(frozen=True)
class Figure:
    """A line of the table.

    Attributes:
        script: that measured it.
        name: what was measured.
        ours, reference: in `unit`.
        ratio: how we stand to the reference, as the target counts it.
        target: "at least" or "at most", and a ratio; None: it is only to be known.
        limited_by: what keeps it from being better now.
        measured: the day.
    """

    script: str
    name: str
    ours: float
    reference: float
    ratio: float
    unit: str
    target: str | None
    limited_by: str
    measured: str

    @property
    def bound(self) -> float | None:
        """The target's ratio."""
        return float(self.target.split()[-1]) if self.target else None

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without one."""
        if self.target is None or self.bound is None:
            return None
        if self.target.startswith("at most"):
            return self.ratio <= self.bound
        return self.ratio >= self.bound


def main() -> None:
    """Run, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="MELD's folder")
    parser.add_argument("--index", type=Path, required=True, help="of MELD's training split")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the page")
    parser.add_argument("--only", nargs="*", help="these scripts alone; none: write the page anew")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    kept = options.out / "performance.json"
    by_machine = read_figures(kept) if kept.is_file() else {}
    figures = by_machine.get(machine(), [])
    for script, arguments in SCRIPTS.items():
        if options.only is not None and script not in options.only:
            continue
        if (found := measured(script, arguments, options.data, options.index)) is not None:
            figures = [one for one in figures if one.script != script] + found
    order = list(SCRIPTS)
    figures.sort(key=lambda one: order.index(one.script) if one.script in order else len(order))
    by_machine[machine()] = figures
    write_figures(by_machine, kept)
    sections = [
        SECTION.format(machine=name, when=when(own), table=table(own), plot=plot_name(name))
        for name, own in by_machine.items()
    ]
    page = PAGE.format(sections="".join(sections))
    (options.out / "performance.md").write_text(page, encoding="utf-8")
    for name, own in by_machine.items():
        draw(own, options.out / "images" / plot_name(name))


def measured(script: str, arguments: Sequence[str], data: Path, index: Path) -> list[Figure] | None:
    """What a script prints; None where it fails."""
    places = {"data": data, "index": index}
    command = [sys.executable, str(HERE / script), *(one.format(**places) for one in arguments)]
    print(" ".join(command[1:]), file=sys.stderr)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        print(f"{script} failed: {reason}", file=sys.stderr)
        return None
    return [
        Figure(script, **json.loads(line), measured=date.today().isoformat())
        for line in done.stdout.splitlines()
        if line.startswith("{")
    ]


def read_figures(file: Path) -> dict[str, list[Figure]]:
    """Those of the last time, by kind of machine."""
    kept = json.loads(file.read_text(encoding="utf-8"))
    return {name: [Figure(**one) for one in own] for name, own in kept.items()}


def write_figures(by_machine: Mapping[str, Sequence[Figure]], file: Path) -> None:
    """Keep them for the next time."""
    kept = {name: [asdict(one) for one in own] for name, own in by_machine.items()}
    file.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def plot_name(name: str) -> str:
    """The file of a machine's plot."""
    words = re.findall(r"[a-z0-9]+", name.lower())
    return f"performance-{'-'.join(words)}.svg"


def machine() -> str:
    """What it was measured on, without the machine's name."""
    flags = Path("/proc/cpuinfo")
    has = flags.read_text(encoding="utf-8") if flags.is_file() else ""
    kinds = {
        "amx_int8": "AMX",
        "avx512_vnni": "AVX-512 VNNI",
        "avx_vnni": "AVX-VNNI",
        "avx2": "AVX2",
    }
    kind = next((words for flag, words in kinds.items() if flag in has), "no AVX2")
    return f"{cores()} cores ({kind})"


def when(figures: Sequence[Figure]) -> str:
    """The day, or the first and the last."""
    days = sorted({one.measured for one in figures})
    return f"on {days[0]}" if len(days) == 1 else f"from {days[0]} to {days[-1]}"


def table(figures: Sequence[Figure]) -> str:
    """In Markdown."""
    rows = [
        "| what | ours | reference | unit | ratio | target | met | what limits it now |",
        "| --- | ---: | ---: | --- | ---: | --- | --- | --- |",
    ]
    rows += [
        f"| {one.name} | {one.ours:,g} | {one.reference:,g} | {one.unit} | {one.ratio:.2f} | "
        f"{one.target or ''} | {WORDS[one.met]} | {one.limited_by} |"
        for one in figures
    ]
    return "\n".join(rows)


WORDS = {True: "yes", False: "no", None: ""}
COLOURS = {True: "#2f6f9f", False: "#c8702a", None: "#8a8f98"}


def draw(figures: Sequence[Figure], file: Path) -> None:
    """Ratios as bars, targets as marks."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams["svg.hashsalt"] = "ragemo"  # the same figures give the same file
    drawing, axes = pyplot.subplots(figsize=(9, 0.36 * len(figures) + 1.2), layout="constrained")
    places = range(len(figures))
    colours = [COLOURS[one.met] for one in figures]
    axes.barh(places, [one.ratio for one in figures], color=colours, height=0.62)
    for place, one in zip(places, figures, strict=True):
        if one.bound is not None:
            axes.plot([one.bound] * 2, [place - 0.4, place + 0.4], color="black", linewidth=2)
    names = [f"{one.name} ({one.target})" if one.target else one.name for one in figures]
    axes.set_yticks(places, names, fontsize=8)
    axes.set_ylim(len(figures) - 0.4, -0.6)  # the first on top
    axes.set_xscale("log")
    axes.set_xlabel("ratio to the reference\nblack: target; blue: met, orange: missed, grey: none")
    axes.spines[["top", "right"]].set_visible(False)
    file.parent.mkdir(parents=True, exist_ok=True)
    drawing.savefig(file, metadata={"Date": None})
    pyplot.close(drawing)


if __name__ == "__main__":
    main()
