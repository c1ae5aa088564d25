"""Requests that a server answers before a version goes live, as TensorFlow Serving's.

The file `assets.extra/tf_serving_warmup_requests` holds TFRecords of `PredictionLog`.
Its messages are described here, so that the package tensorflow-serving-api, which
brings a second TensorFlow, is not needed; the bytes are the same. Imports TensorFlow
alone: the process that proves an export loads this file by its path.
"""

import pathlib
from collections.abc import Iterator, Mapping

import tensorflow as tf
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
)

NAME = "tf_serving_warmup_requests"
MAX_RECORDS = 1000  # a server refuses a file with more

# tensorflow_serving/apis/{prediction_log,predict,model}.proto, as far as needed. The
# map of inputs is written as what it is on the wire: a list of keys and values.
_MESSAGES = """
name: "tfdl/prediction_log.proto"
package: "tfdl.serving"
syntax: "proto3"
dependency: "tensorflow/core/framework/tensor.proto"
message_type {
  name: "ModelSpec"
  field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "signature_name" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL }
}
message_type {
  name: "Input"
  field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "value" number: 2 type: TYPE_MESSAGE label: LABEL_OPTIONAL
          type_name: ".tensorflow.TensorProto" }
}
message_type {
  name: "PredictRequest"
  field { name: "model_spec" number: 1 type: TYPE_MESSAGE label: LABEL_OPTIONAL
          type_name: ".tfdl.serving.ModelSpec" }
  field { name: "inputs" number: 2 type: TYPE_MESSAGE label: LABEL_REPEATED
          type_name: ".tfdl.serving.Input" }
}
message_type {
  name: "PredictLog"
  field { name: "request" number: 1 type: TYPE_MESSAGE label: LABEL_OPTIONAL
          type_name: ".tfdl.serving.PredictRequest" }
}
message_type {
  name: "PredictionLog"
  field { name: "predict_log" number: 6 type: TYPE_MESSAGE label: LABEL_OPTIONAL
          type_name: ".tfdl.serving.PredictLog" }
}
"""

Inputs = Mapping[str, tf.Tensor]


def encode(model_name: str, signature_name: str, inputs: Inputs) -> bytes:
    """Write one request as the bytes of a `PredictionLog`.

    Args:
        model_name: what the server calls the model.
        signature_name: of the signature to call.
        inputs: name -> tensor.
    """
    log = _prediction_log()()
    request = log.predict_log.request
    request.model_spec.name = model_name
    request.model_spec.signature_name = signature_name
    for name in sorted(inputs):
        entry = request.inputs.add(key=name)
        entry.value.CopyFrom(tf.make_tensor_proto(inputs[name]))
    return log.SerializeToString(deterministic=True)


def decode(record: bytes) -> tuple[str, dict[str, tf.Tensor]]:
    """Read the bytes of a `PredictionLog` -> (name of the signature, inputs)."""
    request = _prediction_log().FromString(record).predict_log.request
    inputs = {entry.key: tf.make_ndarray(entry.value) for entry in request.inputs}
    name = request.model_spec.signature_name or "serving_default"
    return name, {key: tf.constant(value) for key, value in inputs.items()}


def write(path: pathlib.Path, model_name: str, examples: Mapping[str, Inputs]) -> None:
    """Write two requests for each signature: the first row alone, and all rows.

    Args:
        path: of the file; its folder is made.
        model_name: what the server calls the model.
        examples: signature -> input -> tensor, rows first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in examples.items():
            first = {name: value[:1] for name, value in inputs.items()}
            for rows in (first, inputs):
                writer.write(encode(model_name, signature, rows))


def read(path: pathlib.Path) -> Iterator[tuple[str, dict[str, tf.Tensor]]]:
    """Read the requests of a file -> (name of the signature, inputs)."""
    for record in tf.data.TFRecordDataset(str(path)):
        yield decode(record.numpy())


def _prediction_log() -> type:
    pool = descriptor_pool.Default()  # holds TensorFlow's own messages
    file = text_format.Parse(_MESSAGES, descriptor_pb2.FileDescriptorProto())
    pool.AddSerializedFile(file.SerializeToString())  # once more changes nothing
    described = pool.FindMessageTypeByName("tfdl.serving.PredictionLog")
    return message_factory.GetMessageClass(described)
