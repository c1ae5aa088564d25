import csv
import json

import numpy as np
import PIL.Image
import pytest
from tensorboard.backend.event_processing import event_accumulator

from tfdl import errors
from tfdl.training import report, verbs

PICTURE = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
ROWS = [{"class": "a, b", "f1": 0.5, "roc_auc": None}, {"class": "c", "f1": 1.0}]
METRICS = {"accuracy": 0.75, "accuracy_interval": [0.5, 1.0], "num_examples": 4}


@pytest.fixture
def run(tmp_path):
    """Return the folder of a run of three steps."""
    config = {"optimization": {"learning_rate": 0.1}, "class_names": ["a", "b"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "steps.csv").write_text("step,loss,learning_rate\n" + "1,2,3\n" * 3)
    return tmp_path


def write(folder, split="test", *, points=2):
    report.write(
        folder,
        split=split,
        metrics=METRICS,
        per_class=ROWS,
        samples={"predictions": PICTURE},
        plots={"confusion_matrix": PICTURE // 2},
        confusions={"a": np.array([[2, 0], [1, 0], [0, 1], [0, 2]])},
        embedding={
            "features": np.ones((points, 3)),
            "thumbnails": np.zeros((points, 4, 4, 3), np.uint8),
            "rows": [{"class": "a", "number": number} for number in range(points)],
        },
    )


def tags(folder, kind):
    events = event_accumulator.EventAccumulator(str(folder / "events" / kind))
    events.Reload()
    found = events.Tags()
    return events, set(found["images"]), set(found["tensors"])


def test_an_evaluation_is_written_and_read_back(run):
    write(run)
    assert json.loads((run / "eval" / "metrics.json").read_text()) == METRICS
    with open(run / "eval" / "per_class.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["a, b", "c"]
    assert rows[0]["roc_auc"] == ""
    with PIL.Image.open(run / "samples" / "predictions.png") as opened:
        np.testing.assert_array_equal(np.asarray(opened), PICTURE)
    assert (run / "plots" / "confusion_matrix.png").exists()


def test_tensorboard_gets_all_of_an_evaluation(run):
    write(run)
    events, images, tensors = tags(run, "test")
    assert images == {"samples/predictions", "plots/confusion_matrix"}
    assert events.Images("samples/predictions")[0].step == 3
    numbers = {"eval/accuracy", "eval/num_examples"}
    assert numbers | {"a/pr_curves"} <= tensors
    settings = events.SummaryMetadata("_hparams_/session_start_info").plugin_data
    assert b"optimization.learning_rate" in settings.content
    names = {"tensors.tsv", "metadata.tsv", "sprite.png", "projector_config.pbtxt"}
    assert names <= {path.name for path in (run / "events" / "test").iterdir()}


def test_another_split_does_not_overwrite_the_test_split(run):
    write(run, "validation", points=0)
    for name in ("eval/metrics", "eval/per_class", "samples/predictions"):
        assert not list(run.glob(f"{name}.*"))
        assert list(run.glob(f"{name}_validation.*"))
    assert not (run / "events" / "validation" / "sprite.png").exists()


def test_a_second_report_takes_the_place_of_the_first(run):
    report.show(run, split="test", samples={"old": PICTURE}, plots={})
    assert tags(run, "test")[1] == {"samples/old"}
    write(run)
    assert "samples/old" not in tags(run, "test")[1]


def test_a_training_begins_with_its_pictures(run):
    for _ in range(2):
        report.begin(run, **{"train_batch": PICTURE})
    events, images, _ = tags(run, "train")
    assert images == {"samples/train_batch"}
    assert [image.step for image in events.Images("samples/train_batch")] == [0]
    assert (run / "samples" / "train_batch.png").exists()


def test_curves_are_drawn_of_every_metric_of_training_or_validation(run):
    (run / "metrics.csv").write_text(
        "epoch,accuracy,loss,rate,val_loss,val_accuracy\n"
        "1,0.5,1.0,0.1,1.1,0.4\n2,0.6,0.8,0.1,1.0,0.5\n"
    )
    report.finish(run, samples={"predictions": PICTURE}, plots={})
    assert (run / "samples" / "predictions_validation.png").exists()
    drawn = {path.name for path in (run / "plots").iterdir()}
    assert drawn == {"accuracy.png", "loss.png", "rate.png"}
    for path in (run / "plots").iterdir():
        with PIL.Image.open(path) as opened:
            assert opened.width == 1200


def test_predictions_are_a_table_and_a_picture(run):
    rows = [{"file": "a, b.png", "class": "cat"}]
    line = report.predictions(run, rows=rows, samples={"answers": PICTURE})
    path = run / "predictions.csv"
    assert line == f"1 pictures answered, see {path}"
    with open(path, newline="") as file:
        assert list(csv.DictReader(file)) == rows
    assert (run / "samples" / "answers.png").exists()


def test_label_maps_are_grey_files_of_classes_beside_their_table(run):
    label_map = np.array([[0, 1, 2], [2, 2, 250]], np.uint8)
    stale = run / "predictions" / "classes_02_b.png"
    stale.parent.mkdir()
    stale.touch()
    found = {
        "row": {"image": "a.png", "label_map": "classes_01_a.png", "sky": 0.5},
        "label_maps": {"classes_01_a": label_map},
        "samples": {"answer_01_a": np.zeros((4, 4, 3), np.uint8)},
    }
    line = report.maps_found(run, iter([found]))
    assert "1 pictures answered" in line
    assert not stale.exists()
    written = PIL.Image.open(run / "predictions" / "classes_01_a.png")
    assert written.mode == "L"
    np.testing.assert_array_equal(written, label_map)
    assert "classes_01_a.png,0.5" in (run / "predictions.csv").read_text()
    assert (run / "samples" / "answer_01_a.png").exists()


def test_answers_take_the_place_of_those_of_an_earlier_call(run):
    for names in (
        {"answer_01_a": PICTURE, "answer_02_b": PICTURE},
        {"answer_01_c": PICTURE},
    ):
        line = report.objects_found(run, rows=[{"score": 0.5}], samples=names)
    assert [path.name for path in (run / "samples").iterdir()] == ["answer_01_c.png"]
    assert line.startswith("1 objects found, see ")
    assert "; 1 pictures are drawn in " in line


def test_a_class_that_looks_like_a_formula_is_written_as_text(run):
    rows = [{"file": "a.png", "class": "=cmd()", "share": -0.5}]
    report.predictions(run, rows=rows, samples={})
    assert "a.png,'=cmd(),-0.5" in (run / "predictions.csv").read_text()


def test_the_errors_of_all_splits_are_read(run):
    measured = {"train": (0.1, 900), "validation": (0.3, 90), "test": (0.28, 90)}
    lines = report.compare(run, 0.05, measured)
    assert "first: variance" in lines
    content = json.loads((run / "eval" / "bias_variance.json").read_text())
    assert content["first"] == "variance"
    assert content["gaps"][1]["value"] == pytest.approx(0.2)
    assert (run / "plots" / "bias_variance.png").exists()
    assert tags(run, "splits")[1] == {"plots/bias_variance"}


def evaluated(run, **options):
    return report.evaluate(
        verbs.Evaluate(run=run, **options),
        ["train", "validation", "test"],
        collect=lambda split: split,
        report=lambda answers: {
            "metrics": {"accuracy": {"test": 0.8}.get(answers, 0.9)},
            "per_class": ROWS,
            "samples": {},
            "plots": {},
            "confusions": {},
            "embedding": {"features": np.zeros((0, 3)), "thumbnails": [], "rows": []},
        },
        error=lambda answers: ({"train": 0.1}.get(answers, 0.3), 100),
    )


def test_evaluate_measures_the_split_that_was_named(run):
    assert "accuracy 0.8" in evaluated(run)
    assert "accuracy 0.9" in evaluated(run, split="validation")
    assert not (run / "eval" / "bias_variance.json").exists()


def test_evaluate_compares_the_splits_when_the_human_error_is_stated(run):
    assert "first: variance" in evaluated(run, human_error=0.05)


def test_a_split_that_is_not_there_is_named(run):
    with pytest.raises(errors.UsageError, match="--split train_dev"):
        evaluated(run, split="train_dev")
