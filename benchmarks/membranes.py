"""Trains segmentation networks on membranes, on streets and on drawings.

    python benchmarks/membranes.py              # all rows, about 2.5 hours
    python benchmarks/membranes.py streets      # the rows whose name has this in it

Needs the data sets `isbi_membrane` and `camvid` in the folder that TFDL_DATA names: 30
electron micrographs with marked membranes, of which 0 to 23 are trained on, and chosen
by, and 24 to 29 tested on; 36 photos of streets to train on, 7 to choose by, 10 to test
on. All start from random weights. Every row is one `apps/segment.py train` and one
`evaluate` in processes of their own; its minutes are from the first step to the last
row of metrics, validation included.

The rows of losses and of upsamplings differ from the first of them by one flag, and
have as many steps, five minutes to seven of them.
"""

import dataclasses
import json
import os
import pathlib
import sys

import tables
import watching

MEMBRANES = tables.RESULTS / "membranes_data"
HELD_OUT = range(24, 30)
SPLIT = "test"


@dataclasses.dataclass(frozen=True)
class Row:
    """One training.

    Attributes:
        name: of the row and of its run.
        title: what the table calls it.
        flags: of `apps/segment.py train`.
        bar: what is to be reached.
    """

    name: str
    title: str
    flags: tuple[str, ...]
    bar: str = "-"


CELLS = ("--preset", "membranes", "--data", f"masks:{MEMBRANES}")
SHORT = (*CELLS, "--epochs", "40")
LOSSES = (
    ("cross_entropy_dice", "--loss", "cross_entropy+dice"),
    ("focal", "--loss", "focal"),
    ("lovasz", "--loss", "cross_entropy+lovasz"),
    ("weighted", "--class-weights", "inverse"),
    ("border", "--border-weight", "10"),
)
UPSAMPLINGS = ("nearest", "bilinear", "bed_of_nails", "max_unpooling")
ROWS = (
    Row("drawings", "drawings", ("--preset", "drawings"), "mean IoU 90 %"),
    Row("membranes", "membranes", CELLS, "pixels 92 %, mean IoU 78 %"),
    Row("streets", "streets", ("--preset", "streets"), "mean IoU 38 %"),
    Row("short", "membranes, 40 epochs", SHORT),
    *(
        Row(f"short_{name}", f"the same, `{' '.join(flags)}`", (*SHORT, *flags))
        for name, *flags in LOSSES
    ),
    *(
        Row(f"short_{kind}", f"the same, `{flag} {kind}`", (*SHORT, flag, kind))
        for flag in ["--upsampling"]
        for kind in UPSAMPLINGS
    ),
)


def lay_out() -> None:
    """Put pictures 24 to 29 of the membranes into a split of their own."""
    found = pathlib.Path(os.environ.get("TFDL_DATA", "data"), "isbi_membrane/data")
    for path in found.glob("membrane/train/*/*.png"):
        split = SPLIT if int(path.stem) in HELD_OUT else "train"
        link = MEMBRANES / split / path.parent.name / path.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(path.resolve())


def measure(row: Row) -> dict:
    """Train and evaluate one row -> what the table says of it."""
    folder = tables.RESULTS / f"segment_{row.name}"
    return watching.train_and_evaluate("segment.py", row.flags, folder, [SPLIT])


def table(known: dict[str, dict]) -> list[str]:
    """Write the results as a Markdown table, with the machine they came from."""
    lines = [
        f"Machine: {tables.machine()}. On the test pictures, by the weights that were "
        "best on validation; in brackets the 95 % bootstrap interval over pictures. "
        "The Rand F score compares the cells between membranes.",
        "",
        "| what | command | mean IoU | pixel accuracy | boundary F1 | Rand F | bar | "
        "minutes | epochs | peak memory |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        if row.name in known:
            found = known[row.name]
            measured = found["measured"][SPLIT]
            flags = " ".join(row.flags).replace(str(MEMBRANES), "membranes_data")
            lines.append(
                f"| {row.title} | `segment.py train {flags}` | "
                f"{_with_interval(measured, 'mean_iou')} | "
                f"{measured['pixel_accuracy']:.1%} | "
                f"{measured['boundary_f1']:.1%} | {_rand(measured)} | {row.bar} | "
                f"{found['minutes']:.1f} | {found['epochs']} | "
                f"{found['peak_megabytes']:,.0f} MB |"
            )
    return lines


def _with_interval(measured: dict, name: str) -> str:
    low, high = measured[f"{name}_interval"]
    return f"**{measured[name]:.1%}** [{low:.1%}, {high:.1%}]"


def _rand(measured: dict) -> str:
    score = measured.get("rand_f_score")  # of two classes alone
    return "-" if score is None else f"{score:.1%}"


def main(names: list[str]) -> None:
    """Measure the rows of these names, or all, and put those known into the table."""
    tables.RESULTS.mkdir(parents=True, exist_ok=True)
    lay_out()
    files = {row.name: tables.RESULTS / f"segment_{row.name}.json" for row in ROWS}
    for row in ROWS:
        if not names or any(name in row.name for name in names):
            files[row.name].write_text(json.dumps(measure(row), indent=2))
    known = {n: json.loads(f.read_text()) for n, f in files.items() if f.exists()}
    tables.write("membranes", table(known))


if __name__ == "__main__":
    main(sys.argv[1:])
