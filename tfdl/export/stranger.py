"""Asks a SavedModel in a process of its own, which cannot import tfdl.

python -I stranger.py EXPORT QUESTIONS ANSWERS

It is run by its path, and imports TensorFlow and the file beside it that reads warm-up
requests, neither of which knows tfdl. QUESTIONS is JSON, signature -> input -> tensor;
ANSWERS becomes {"answers": signature -> {"together", "singly"} -> output -> tensor,
"shapes": signature -> output -> static shape, "warmup_records": how many requests were
answered}. A tensor is {"dtype", "content"},
the base64 of what `tf.io.serialize_tensor` makes of it.
"""

import base64
import importlib.util
import json
import pathlib
import sys

import tensorflow as tf

WARMUP = pathlib.Path("assets.extra", "tf_serving_warmup_requests")


def packed(tensor: tf.Tensor) -> dict[str, str]:
    """Write a tensor as JSON holds it."""
    content = base64.b64encode(tf.io.serialize_tensor(tensor).numpy())
    return {"dtype": tensor.dtype.name, "content": content.decode()}


def unpacked(entry: dict[str, str]) -> tf.Tensor:
    """Read a tensor from what JSON holds."""
    content = base64.b64decode(entry["content"])
    return tf.io.parse_tensor(content, tf.as_dtype(entry["dtype"]))


def answers(signature, inputs: dict[str, tf.Tensor]) -> dict:
    """Ask for all rows together, and for each by itself."""
    together = signature(**inputs)
    num_rows = len(next(iter(inputs.values())))
    rows = [
        signature(**{name: value[row : row + 1] for name, value in inputs.items()})
        for row in range(num_rows)
    ]
    return {
        "together": {name: packed(value) for name, value in together.items()},
        "singly": {
            name: packed(tf.concat([row[name] for row in rows], axis=0))
            for name in together
        },
    }


def replay(path: pathlib.Path, signatures) -> int:
    """Answer every warm-up request -> their number."""
    specification = importlib.util.spec_from_file_location(
        "warmup", pathlib.Path(__file__).with_name("warmup.py")
    )
    warmup = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(warmup)
    count = 0
    for name, inputs in warmup.read(path):
        signatures[name](**inputs)
        count += 1
    return count


def main(export: str, questions: str, written: str) -> None:
    """Answer the questions."""
    tf.config.experimental.enable_tensor_float_32_execution(False)
    loaded = tf.saved_model.load(export)
    asked = json.loads(pathlib.Path(questions).read_text())
    found = {
        name: answers(
            loaded.signatures[name],
            {key: unpacked(entry) for key, entry in inputs.items()},
        )
        for name, inputs in asked.items()
    }
    shapes = {
        name: {
            output: None if spec.shape.rank is None else spec.shape.as_list()
            for output, spec in signature.structured_outputs.items()
        }
        for name, signature in loaded.signatures.items()
    }
    num_records = replay(pathlib.Path(export) / WARMUP, loaded.signatures)
    result = {"answers": found, "shapes": shapes, "warmup_records": num_records}
    pathlib.Path(written).write_text(json.dumps(result))


if __name__ == "__main__":
    sys.modules["tfdl"] = None  # any import of it fails
    main(*sys.argv[1:])
