import contextlib
import functools
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.backbones import BACKBONES
from tfdl.data import questions
from tfdl.export import freezing, savedmodel
from tfdl.tasks.classification import postprocess, served
from tfdl.training import inference

ROWS = np.random.default_rng(0).random((5, 4), np.float32)


def names(base):
    return sorted(path.name for path in base.iterdir())


def test_e1_the_first_version_is_1_and_nothing_lies_beside_it(written):
    assert written.name == "1"
    assert names(written.parent) == ["1"]
    assert not (written / ".assets").exists()


def test_e1_a_version_appears_by_one_rename_with_everything_in_it(
    write, unproved, tmp_path, monkeypatch
):
    seen = []
    rename = os.rename

    def watch(source, target):
        if pathlib.Path(target).name.isdecimal():
            seen.append((pathlib.Path(source).name, files(source), names(tmp_path)))
        rename(source, target)

    def files(folder):
        found = (p for p in pathlib.Path(folder).rglob("*") if p.is_file())
        return sorted(p.relative_to(folder).as_posix() for p in found)

    monkeypatch.setattr(os, "rename", watch)
    version = write(tmp_path)
    ((name, before, beside),) = seen
    assert name == f".tmp-1-{os.getpid()}"
    assert beside == [name]
    assert before == files(version)


def test_e2_a_number_is_never_used_twice(write, unproved, tmp_path):
    for name in ("2", "9", "10", "latest", ".tmp-11-1"):
        (tmp_path / name).mkdir()
    assert write(tmp_path).name == "12"
    assert write(tmp_path).name == "13"


def test_e3_inputs_and_outputs_have_names(written):
    found = tf.saved_model.load(str(written)).signatures
    for name, spec in (
        ("serving_default", ("image_bytes", tf.string)),
        ("serve_tensor", ("images", tf.float32)),
    ):
        ((key, tensor),) = found[name].structured_input_signature[1].items()
        assert (key, tensor.dtype) == spec
        assert set(found[name].structured_outputs) == {"scores", "best"}


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        (lambda scores: tf.cast(scores, tf.bfloat16), "wrong .* is bfloat16"),
        (lambda scores: tf.cast(scores, tf.float16), "wrong .* is float16"),
        (lambda scores: tf.reduce_sum(scores), r"wrong .* has shape \(\)"),
        (lambda scores: tf.transpose(scores), r"wrong .* has shape \(3, 5\)"),
    ],
    ids=["e4 bfloat16", "e4 float16", "e5 scalar", "e5 rows"],
)
def test_e4_e5_what_a_server_cannot_write_is_refused(write, tmp_path, form, reason):
    def build(infer):
        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, "images")])
        def answer(images):
            return {"wrong": form(infer(images))}

        return {"serve_tensor": answer}

    with pytest.raises(errors.ModelFileError, match=reason):
        write(
            tmp_path,
            build=build,
            examples={"serve_tensor": {"images": tf.constant(ROWS)}},
        )
    assert names(tmp_path) == []


def test_e7_any_number_of_rows_is_answered_as_the_model_does(written, network):
    answer = tf.saved_model.load(str(written)).signatures["serve_tensor"]
    for count in (0, 1, 5):
        scores = answer(images=tf.constant(ROWS[:count]))["scores"]
        np.testing.assert_allclose(scores, network(ROWS[:count]), atol=1e-6)
    shapes = {n: s.shape.as_list() for n, s in answer.structured_outputs.items()}
    assert shapes == {"scores": [None, 3], "best": [None]}


def test_e8_bytes_and_tensors_have_the_same_answers(written):
    found = tf.saved_model.load(str(written)).signatures
    content = tf.constant([row.tobytes() for row in ROWS])
    from_bytes = found["serving_default"](image_bytes=content)
    for name, value in found["serve_tensor"](images=tf.constant(ROWS)).items():
        np.testing.assert_array_equal(from_bytes[name], value)


def test_e9_labels_are_there_for_the_graph_and_for_people(written):
    for folder in ("assets", "assets.extra"):
        assert (written / folder / "labels.txt").read_text() == "cat\ndog\nemu\n"
    functions = tf.saved_model.load(str(written)).signatures.values()
    graphs = [function.graph.as_graph_def() for function in functions]
    nodes = [n.op for g in graphs for f in g.library.function for n in f.node_def]
    assert "MatMul" in nodes
    assert not [op for op in nodes if "PyFunc" in op]


def test_e10_the_warm_up_requests_are_replayed(written):
    report = json.loads((written / "assets.extra" / "parity.json").read_text())
    assert report["warmup_records"] == 4  # one row and all, of two signatures


def test_e11_the_proof_is_kept(written):
    report = json.loads((written / "assets.extra" / "parity.json").read_text())
    assert report["is_frozen"]
    for signature in ("serving_default", "serve_tensor"):
        assert report["signatures"][signature]["num_examples"] == 5
        outputs = report["signatures"][signature]["outputs"]
        assert outputs["scores"]["max_abs_difference"] <= 1e-5
        assert outputs["scores"]["max_abs_difference_single"] <= 1e-5
        assert outputs["best"]["max_abs_difference"] == 0
        assert [outputs[n]["dtype"] for n in ("scores", "best")] == [
            "float32",
            "string",
        ]


def test_e12_card_and_flags_are_beside_the_graph(written):
    assert (written / "assets.extra" / "model_card.md").read_text() == "# A model\n"
    assert (written / "assets.extra" / "config.json").read_text() == "{}\n"


def test_no_variables_are_left(written):
    loaded = tf.saved_model.load(str(written))
    for function in loaded.signatures.values():
        assert not function.variables
    stored = dict(tf.train.list_variables(str(written / "variables" / "variables")))
    assert stored.keys() == {"_CHECKPOINTABLE_OBJECT_GRAPH"}
    assert (written / "variables" / "variables.index").exists()


def test_a_network_too_large_for_constants_keeps_its_variables(
    write, network, unproved, tmp_path, monkeypatch
):
    monkeypatch.setattr(freezing, "LIMIT_BYTES", 10)
    with pytest.warns(UserWarning, match="stay variables"):
        version = write(tmp_path)
    loaded = tf.saved_model.load(str(version))  # its functions do not keep it alive
    answer = loaded.signatures["serve_tensor"]
    assert answer.variables
    scores = answer(images=tf.constant(ROWS))["scores"]
    np.testing.assert_allclose(scores, network(ROWS), atol=1e-6)


def test_an_export_that_answers_otherwise_is_not_published(
    write, network, tmp_path, monkeypatch
):
    freeze = freezing.freeze

    def sabotaged(infer):
        frozen = freeze(infer)
        return lambda images: frozen(images) + 1e-3

    monkeypatch.setattr(freezing, "freeze", sabotaged)
    with pytest.raises(errors.ModelFileError) as caught:
        write(tmp_path)
    assert "output scores of signature serving_default" in str(caught.value)
    assert "max_abs_difference is 0.001, more than 1" in str(caught.value)
    assert names(tmp_path) == []


def test_both_metrics_are_kept_and_must_agree(write, unproved, tmp_path):
    def measure(signatures):
        scores = signatures["serve_tensor"](images=tf.constant(ROWS))["scores"]
        return {"mean": float(tf.reduce_mean(scores))}

    version = write(tmp_path, measure=measure)
    report = json.loads((version / "assets.extra" / "parity.json").read_text())
    memory, served = (report["metrics"][n]["mean"] for n in ("in_memory", "served"))
    assert memory == pytest.approx(served, abs=1e-6)

    answers = iter((0.9, 0.8))
    with pytest.raises(errors.ModelFileError, match=r"mean is 0.8 .* 0.9 in memory"):
        write(tmp_path, measure=lambda _: {"mean": next(answers)})
    assert names(tmp_path) == ["1"]


def test_a_model_without_assets_is_written_too(write, unproved, tmp_path):
    assert write(tmp_path, assets={}).is_dir()


FAILURES = [
    (OSError(28, "No space left on device"), errors.ResourceError),
    (tf.errors.ResourceExhaustedError(None, None, "disk"), errors.ResourceError),
    (KeyboardInterrupt(), KeyboardInterrupt),
]


@pytest.mark.parametrize(("failure", "raised"), FAILURES)
@pytest.mark.parametrize("moment", ["save", "proof"])
def test_a_failure_half_way_leaves_no_version(
    write, unproved, tmp_path, monkeypatch, failure, raised, moment
):
    (tmp_path / "1").mkdir()
    save = tf.saved_model.save

    def fail(*_, **__):
        raise failure

    def fail_after_saving(*arguments, **options):
        save(*arguments, **options)
        raise failure

    if moment == "save":
        monkeypatch.setattr(tf.saved_model, "save", fail_after_saving)
    else:
        monkeypatch.setattr(savedmodel.parity, "prove", fail)
    with pytest.raises(raised):
        write(tmp_path)
    assert names(tmp_path) == ["1"]


def test_a_place_that_tensorflow_cannot_load_from_is_refused(write, tmp_path):
    with pytest.raises(errors.UsageError, match="cannot load a model from a path"):
        write(tmp_path / "lr[0.1]")
    assert not names(tmp_path)


def test_a_place_that_cannot_be_written_is_named(write, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(errors.ResourceError, match=str(tmp_path / "file")):
        write(tmp_path / "file")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "channels"),
    [  # each with an operation that the others have not
        ("lenet5", 28, 1),
        ("alexnet_grouped", 67, 3),
        ("cifar_resnet20", 32, 3),
        ("mobilenet_v2", 32, 3),
        ("fractional_cifar", 32, 3),
    ],
)
def test_a_backbone_is_exported_and_equals_itself(
    write, tmp_path, name, size, channels
):
    """All families are frozen and compared in tests/backbones/test_backbones.py."""
    shape = (size, size, channels)
    model = BACKBONES[name](shape, 3, width=0.25)
    random = np.random.default_rng(0)
    for weights in model.weights:
        if "moving" in weights.path:
            weights.assign(random.uniform(0.5, 1.5, weights.shape))
    infer = inference.compiled(model)
    version = write(
        tmp_path,
        infer=infer,
        reference=infer,
        build=functools.partial(
            postprocess.signatures,
            class_names=("cat", "dog", "emu"),
            image_shape=shape,
            multi_label=False,
        ),
        examples=served.examples(questions.noise(), image_shape=shape),
    )
    report = json.loads((version / "assets.extra" / "parity.json").read_text())
    for signature in report["signatures"].values():
        figures = signature["outputs"]["probabilities"]
        assert figures["max_abs_difference"] <= figures["tolerance"] == 1e-5


KILLS = 12
WRITER = pathlib.Path(__file__).with_name("writer.py")


@pytest.mark.slow
def test_an_export_killed_at_any_moment_never_shows_half_a_version(tmp_path):
    base, draws = tmp_path / "model", random.Random(0)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, WRITER, base], **pipes) as writer:
        durations = [seconds_of_an_export(writer) for _ in range(3)]
        duration = min(durations)  # the first may wait for a cold disk
        for kill in range(KILLS):
            process = begin(writer)
            # Spread over the whole of an export, each within its own part.
            time.sleep(duration * (kill + draws.random()) / KILLS)
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            while writer.stdout.readline() != "ended\n":
                pass
            check_versions(base)
        unfinished = [name for name in names(base) if name.startswith(".tmp-")]
        assert len(unfinished) > KILLS // 4
        taken = [int(name.removeprefix(".tmp-").split("-")[0]) for name in names(base)]
        assert len(set(taken)) == len(taken)
        seconds_of_an_export(writer)
        writer.stdin.close()
    # The numbers of the killed are not used again.
    assert max(map(int, filter(str.isdecimal, names(base)))) == max(taken) + 1
    check_versions(base)


def seconds_of_an_export(writer):
    begin(writer)
    start = time.monotonic()
    assert writer.stdout.readline() == "done\n"
    duration = time.monotonic() - start
    assert writer.stdout.readline() == "ended\n"
    return duration


def begin(writer):
    """Start an export -> number of its process."""
    writer.stdin.write("go\n")
    writer.stdin.flush()
    return int(writer.stdout.readline())


def check_versions(base):
    rows = tf.constant([[0.1, 0.2, 0.3, 0.4]])
    for name in filter(str.isdecimal, names(base)):
        found = tf.saved_model.load(str(base / name)).signatures
        assert found["serve_tensor"](images=rows)["scores"].shape == (1, 3)
        report = json.loads((base / name / "assets.extra/parity.json").read_text())
        assert report["is_frozen"]
