"""Compares backbones with those of keras.applications: training, memory, exports.

    python benchmarks/backbones.py              # everything, about half an hour
    python benchmarks/backbones.py densenet     # the rows whose name has this in it

Training: `loop.train` with our network against `fit` with that of keras.applications,
equal in parameters, as in `train_step.py`; ResNet-50 also against PyTorch (the extra
`bench`), channels last. The control is a second process of the peer. Exports: ours
against `model.export` of the same network of keras.applications, as in `export.py`.
"""

import dataclasses
import functools
import importlib.util
import json
import pathlib
import sys
from collections.abc import Callable

import contest
import tables

import tfdl.quiet  # noqa: F401  # isort: skip
import export
import keras
import trainings

from tfdl.backbones import BACKBONES

SIZE = 224
ROUNDS = 5
EXPORT_ROUNDS = 9
CLASSES = 1000
TORCH = pathlib.Path(__file__).with_name("torch_resnet.py")


@dataclasses.dataclass(frozen=True)
class Peer:
    """A network of keras.applications.

    Attributes:
        build: its function.
        own_params: parameters that it has and ours has not: the picture's mean and
            variance.
    """

    build: Callable[..., keras.Model]
    own_params: int = 0


# Our name -> theirs.
PEERS = {
    "resnet50_v1": Peer(keras.applications.ResNet50),
    "densenet121": Peer(keras.applications.DenseNet121),
    "mobilenet_v2": Peer(keras.applications.MobileNetV2),
    "efficientnet_b0": Peer(keras.applications.EfficientNetB0, own_params=7),
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One comparison of trainings.

    Attributes:
        backbone: a key of `BACKBONES`.
        precision: "float32" or "bfloat16".
        bar: the ratio to reach; None where the distance alone is of interest.
        peer: "keras" or "torch".
        batch_size: pictures in a step.
        steps: in one turn.
    """

    backbone: str
    precision: str
    bar: float | None
    peer: str = "keras"
    batch_size: int = 16
    steps: int = 3

    @property
    def name(self) -> str:
        """The row's name on the command line."""
        return f"{self.backbone}-{self.precision}-{self.peer}"


ROWS = (
    Row("resnet50_v1", "float32", 1.3),
    Row("resnet50_v1", "bfloat16", 1.7),
    Row("densenet121", "float32", 1.2),
    Row("densenet121", "bfloat16", 1.2),
    Row("mobilenet_v2", "float32", 1.2),
    Row("mobilenet_v2", "bfloat16", 1.2),
    Row("efficientnet_b0", "float32", 1.2),
    Row("efficientnet_b0", "bfloat16", 1.2),
    Row("resnet50", "float32", 1.0, peer="torch"),
    Row("resnet50", "bfloat16", None, peer="torch"),
)


def main(names: list[str]) -> None:
    """Measure the rows of these names, or all, and write the tables."""
    tables.RESULTS.mkdir(parents=True, exist_ok=True)
    file = tables.RESULTS / "backbones.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    for row in ROWS:
        if not names or any(name in row.name for name in names):
            results[row.name] = train(row)
            print(row.name, results[row.name], flush=True)
            file.write_text(json.dumps(results, indent=2))
    for backbone in PEERS:
        name = f"{backbone}-export"
        if not names or any(each in name for each in names):
            results[name] = serve(backbone)
            print(name, results[name], flush=True)
            file.write_text(json.dumps(results, indent=2))
    tables.write("backbones", [*training_table(results), "", *export_table(results)])


def train(row: Row) -> dict:
    """Let ours and two of the peer take turns -> what the table says."""
    peer = [__file__, "--contender", "peer", row.name]
    if row.peer == "torch":
        if importlib.util.find_spec("torch") is None:
            raise SystemExit("torch is missing: pip install '.[bench]'")
        numbers = map(str, (SIZE, row.batch_size, row.steps))
        peer = [str(TORCH), *numbers, row.precision]
    own = [__file__, "--contender", "ours", row.name]
    commands = {"ours": own, "peer": peer, "control": peer}
    came = contest.run(commands, rounds=ROUNDS)
    ours, peer = came["ours"], came["peer"]
    return {
        "ours": ours.rate,
        "peer": peer.rate,
        "ratio": ours.times(peer),
        "spread": ours.spread(peer),
        "control": came["control"].times(peer),
        "control_spread": came["control"].spread(peer),
        "megabytes": [ours.megabytes, peer.megabytes],
    }


def contend(kind: str, row: Row) -> None:
    """Be one of the contenders until there are no more turns."""
    work = trainings.Work(
        shape=(SIZE, SIZE, 3),
        num_classes=CLASSES,
        batch_size=row.batch_size,
        steps=row.steps,
        together=row.steps,
        precision=row.precision,
    )
    if kind == "ours":
        trainings.ours(work, BACKBONES[row.backbone])
        return
    peer = PEERS[row.backbone]
    num_params = BACKBONES[row.backbone](work.shape).count_params() + peer.own_params
    keras.backend.clear_session()
    trainings.fit(work, functools.partial(_peer, row.backbone), num_params=num_params)


def serve(backbone: str) -> list[list[str]]:
    """Time the exports -> cells of the rows of the table."""
    size = (SIZE, SIZE, 3)
    peer = _peer(backbone, size, classes=len(export.CLASSES))
    return export.measure(backbone, SIZE, 3, EXPORT_ROUNDS, peer)


def training_table(results: dict[str, dict]) -> list[str]:
    """Write the trainings as a Markdown table."""
    lines = [
        f"Machine: {tables.machine()}. Pictures of {SIZE} x {SIZE}. Medians of "
        f"{ROUNDS} turns each, by turns; in brackets the smallest and the largest "
        "ratio of a turn. Memory is the most that the process had.",
        "",
        "| network | peer | batch | precision | ours, images/s | peer, images/s | "
        "ratio | bar | control: peer against peer | memory, ours and peer |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        if row.name in results:
            found = results[row.name]
            own, other = found["megabytes"]
            cells = (
                row.backbone,
                {"keras": "keras.applications, `fit`", "torch": "PyTorch"}[row.peer],
                str(row.batch_size),
                row.precision,
                f"{found['ours']:.1f}",
                f"{found['peer']:.1f}",
                f"**{found['ratio']:.2f}** [{found['spread']}]",
                str(row.bar or "-"),
                f"{found['control']:.2f} [{found['control_spread']}]",
                f"{own:.0f} MB, {other:.0f} MB",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def export_table(results: dict[str, list]) -> list[str]:
    """Write the exports as a Markdown table."""
    lines = [
        "| exported network | batch | keras.applications, `export` | ours | speed-up | "
        "control | speed-up of bfloat16 |",
        "|---|---|---|---|---|---|---|",
    ]
    for backbone in PEERS:
        for cells in results.get(f"{backbone}-export", []):
            lines.append(f"| {' | '.join([backbone, *cells])} |")
    return lines


def _peer(backbone: str, shape, classes: int = CLASSES) -> keras.Model:
    return PEERS[backbone].build(
        weights=None,
        input_shape=tuple(shape),
        classes=classes,
        classifier_activation=None,
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contender"]:
        [chosen] = [row for row in ROWS if row.name == sys.argv[3]]
        contend(sys.argv[2], chosen)
    else:
        main(sys.argv[1:])
