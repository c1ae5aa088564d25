"""The flags of the verbs that take a finished run: evaluate, predict and export."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Annotated, Literal

import keras
import tyro

from tfdl import errors
from tfdl.training import ensembles

_Members = Annotated[
    tuple[pathlib.Path, ...],
    tyro.conf.arg(
        help="Runs, .weights.h5 files in them, or their folders of snapshots, whose "
        "answers are averaged; --run then names a new folder, which becomes the run of "
        "that ensemble and suffices from then on."
    ),
]


class _OfRun:
    """What the verbs have in common."""

    run: pathlib.Path
    members: tuple[pathlib.Path, ...]

    def opened(self) -> pathlib.Path:
        """Return the folder of the run, made of its members if some are named.

        Raises:
            UserError: see `ensembles.gather`.
        """
        ensembles.gather(self.run, self.members)
        return self.run

    def alone(self) -> pathlib.Path:
        """Return the folder of the run of an app whose answers are not averaged.

        Raises:
            UsageError: members are named.
        """
        if self.members:
            raise errors.UsageError(
                "--members averages the answers of classifiers alone",
                "name one of the members with --run",
            )
        return self.run


@dataclasses.dataclass(frozen=True)
class Evaluate(_OfRun):
    """Measure a trained run on one of its splits."""

    run: pathlib.Path
    """Folder of the run."""
    split: Literal["test", "validation", "train_dev", "train"] = "test"
    """The examples to measure on."""
    human_error: float | None = None
    """Share that people get wrong; says where the errors of all splits come from."""
    members: _Members = ()
    debug: bool = False
    """Show the traceback of an error."""

    def __post_init__(self):
        if self.human_error is not None and not 0 <= self.human_error <= 1:
            raise errors.UsageError(
                f"--human-error must be in [0, 1]. Received {self.human_error}",
                "0.01 is 1 %",
            )


@dataclasses.dataclass(frozen=True)
class Predict(_OfRun):
    """Answer for pictures of your own."""

    paths: tyro.conf.Positional[tuple[pathlib.Path, ...]]
    """Pictures, and folders of pictures."""
    run: pathlib.Path
    """Folder of the run."""
    on_bad_data: Literal["error", "skip"] = "error"
    """Refuse broken pictures, or leave up to 5 % of them out."""
    members: _Members = ()
    debug: bool = False
    """Show the traceback of an error."""


@dataclasses.dataclass(frozen=True)
class PredictObjects(Predict):
    """Find objects in pictures of your own."""

    drawn_score: float = 0.3
    """Least score of what is drawn; predictions.json has everything."""

    def choices(self) -> dict:
        """Return the keyword arguments of a task's `results.predictions`."""
        return {"on_bad_data": self.on_bad_data, "score_threshold": self.drawn_score}


@dataclasses.dataclass(frozen=True)
class Export(_OfRun):
    """Write the model for servers or devices, and prove it."""

    run: pathlib.Path
    """Folder of the run."""
    base: pathlib.Path = pathlib.Path("savedmodels")
    """Where models are kept, as <base>/<name of the run>/<version>."""
    format: Literal["savedmodel", "tflite", "onnx"] = "savedmodel"
    """savedmodel takes the bytes of pictures, the others prepared pictures."""
    precision: Literal["as_trained", "float32", "bfloat16"] = "as_trained"
    """Of a SavedModel's arithmetic; inputs, outputs and other formats are float32."""
    quantization: Literal["none", "float16", "int8"] = "none"
    """Of a tflite file: float16 halves its weights, int8 computes in whole numbers."""
    skip_metric: bool = False
    """Do not measure on the test split, where the data are not at hand."""
    members: _Members = ()
    debug: bool = False
    """Show the traceback of an error."""

    def __post_init__(self):
        if self.base.is_file():
            raise errors.UsageError(f"--base {self.base} is a file", "name a folder")
        if self.quantization != "none" and self.format != "tflite":
            raise errors.UsageError(
                f"--quantization {self.quantization} is of --format tflite. Received "
                f"--format {self.format}",
                "add --format tflite",
            )
        if self.precision == "bfloat16" and self.format != "savedmodel":
            raise errors.UsageError(
                f"--precision bfloat16 is of a SavedModel. Received --format "
                f"{self.format}",
                "drop --precision, or add --quantization float16 to tflite",
            )
        if self.quantization == "int8" and self.skip_metric:
            raise errors.UsageError(
                "--quantization int8 takes its ranges from pictures of the data",
                "drop --skip-metric",
            )

    def network(self, model: keras.Model, restore: Callable[..., tuple]) -> keras.Model:
        """Give a model the precision that was asked for.

        The layers are asked, since an ensemble's members may differ in theirs.

        Args:
            model: of the run.
            restore: `session.restore` of the run; takes `number_format`.

        Returns:
            `model`, or another with its weights.
        """
        if self.format == "savedmodel" and self.precision == "as_trained":
            return model
        asked = self.precision if self.format == "savedmodel" else "float32"
        if {layer.compute_dtype for layer in model.layers} == {asked}:
            return model
        return restore(number_format=asked)[-1]


@dataclasses.dataclass(frozen=True)
class Convert:
    """Write annotations and pictures in another format."""

    source: Annotated[str, tyro.conf.arg(name="data")]
    """FORMAT:PATH; the app's first lines say which formats it reads."""
    target: Annotated[str, tyro.conf.arg(name="to")]
    """The same, of a folder that is new or empty."""
    debug: bool = False
    """Show the traceback of an error."""
