import warnings

import numpy as np
import PIL.Image
import pytest
from tensorboard import context
from tensorboard.backend.event_processing import (
    data_provider,
    plugin_event_multiplexer,
)
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2

from tfdl.training import events

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of their copy of html5lib
    from tensorboard.plugins.hparams import (
        backend_context,
        get_experiment,
        list_session_groups,
    )
    from tensorboard.plugins.pr_curve import pr_curves_plugin
    from tensorboard.plugins.projector import projector_plugin

PICTURE = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


@pytest.fixture
def open_board():
    """Return a function from a folder to the context of TensorBoard's plugins."""

    def opened(folder):
        multiplexer = plugin_event_multiplexer.EventMultiplexer()
        multiplexer.AddRunsFromDirectory(str(folder))
        multiplexer.Reload()
        provider = data_provider.MultiplexerDataProvider(multiplexer, str(folder))
        return base_plugin.TBContext(data_provider=provider, logdir=str(folder))

    return opened


def read_pictures(board, run, tag):
    provider, request = board.data_provider, context.RequestContext()
    wanted = {"experiment_id": "", "plugin_name": "images", "downsample": 10}
    found = provider.read_blob_sequences(request, **wanted)
    return [
        (
            datum.step,
            provider.read_blob(request, blob_key=datum.values[-1].blob_key),
        )
        for datum in found[run][tag]
    ]


def test_tensorboard_shows_the_last_report_only(tmp_path, open_board):
    for step, drawn in ((3, PICTURE // 2), (5, PICTURE)):
        folder = tmp_path / "test"
        events.write(folder, [events.picture("a/b", drawn)], step=step, name="report")
    [(step, content)] = read_pictures(open_board(tmp_path), "test", "a/b")
    assert step == 5
    path = tmp_path / "shown.png"
    path.write_bytes(content)
    with PIL.Image.open(path) as shown:
        np.testing.assert_array_equal(np.asarray(shown), PICTURE)


def test_reports_of_other_names_stay(tmp_path, open_board):
    for name in ("begin", "evaluation"):
        summaries = [events.picture(name, PICTURE)]
        events.write(tmp_path / "train", summaries, step=1, name=name)
    board = open_board(tmp_path)
    assert read_pictures(board, "train", "begin")
    assert read_pictures(board, "train", "evaluation")


def test_tensorboard_shows_a_precision_recall_curve(tmp_path, open_board):
    # 2 positives of 3 at thresholds 0, 0.5 and 1.
    confusions = np.array([[2, 1, 0], [1, 1, 0], [0, 0, 1], [0, 1, 2]])
    summaries = [events.pr_curve("cat", confusions)]
    events.write(tmp_path / "test", summaries, step=4, name="report")
    plugin = pr_curves_plugin.PrCurvesPlugin(open_board(tmp_path))
    shown = plugin.pr_curves_impl(
        context.RequestContext(), "", ["test"], "cat/pr_curves"
    )
    [curve] = shown["test"]
    assert curve["step"] == 4
    # TensorBoard leaves thresholds out at which nothing is found.
    assert curve["thresholds"] == pytest.approx([0, 0.5])
    assert curve["precision"] == pytest.approx([2 / 3, 1 / 2])
    assert curve["recall"] == pytest.approx([1, 1 / 2])
    assert curve["true_negatives"] == [0, 0]


def test_tensorboard_compares_runs_by_their_settings(tmp_path, open_board):
    for name, rate in (("one", 0.1), ("two", 0.2)):
        settings = {"rate": rate, "model": "lenet5", "is_wide": True, "names": ["a"]}
        summaries = [
            events.scalar("eval/accuracy", rate + 0.5),
            *events.settings(settings, name=name),
        ]
        events.write(tmp_path / name / "test", summaries, step=9, name="report")
    board = backend_context.Context(open_board(tmp_path))
    request = context.RequestContext()
    experiment = get_experiment.Handler(
        request, board, "", api_pb2.GetExperimentRequest()
    ).run()
    assert {info.name for info in experiment.hparam_infos} == {
        "rate",
        "model",
        "is_wide",
    }
    assert {info.name.tag for info in experiment.metric_infos} == {"eval/accuracy"}
    columns = [
        api_pb2.ColParams(hparam="rate"),
        api_pb2.ColParams(metric=experiment.metric_infos[0].name),
    ]
    wanted = api_pb2.ListSessionGroupsRequest(
        slice_size=10,
        allowed_statuses=[api_pb2.STATUS_SUCCESS],
        col_params=columns,
        include_metrics=True,
    )
    found = list_session_groups.Handler(request, board, "", wanted).run()
    rows = {
        group.hparams["rate"].number_value: group.metric_values[0].value
        for group in found.session_groups
    }
    assert rows == pytest.approx({0.1: 0.6, 0.2: 0.7})


def test_tensorboards_projector_finds_points_with_pictures(tmp_path, open_board):
    features = np.random.default_rng(0).random((5, 3)).astype("float32")
    thumbnails = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones(
        (1, 4, 6, 3), np.uint8
    )
    rows = [{"class": f"a\tb\n{number}", "number": number} for number in range(5)]
    folder = tmp_path / "test"
    events.embedding(folder, features=features, thumbnails=thumbnails, rows=rows)
    events.write(folder, [events.picture("a", PICTURE)], step=1, name="report")

    plugin = projector_plugin.ProjectorPlugin(open_board(tmp_path))
    plugin._update_configs()
    [place] = plugin._configs["test"].embeddings
    assert list(place.tensor_shape) == [5, 3]
    assert list(place.sprite.single_image_dim) == [6, 4]  # width, height
    read = plugin.tensor_cache.get(("test", place.tensor_name))
    np.testing.assert_allclose(read, features, rtol=1e-5)
    lines = (folder / place.metadata_path).read_text().splitlines()
    assert lines[0] == "class\tnumber"
    assert lines[5] == "a b 4\t4"
    with PIL.Image.open(folder / place.sprite.image_path) as opened:
        sprite = np.asarray(opened)
    assert sprite.shape == (12, 18, 3)
    assert (sprite[4:8, :6] == 3).all()  # the fourth, in the second row
    assert (sprite[8:] == 255).all()


def test_one_point_is_a_sprite_of_its_own(tmp_path):
    events.embedding(
        tmp_path,
        features=np.ones((1, 2)),
        thumbnails=np.zeros((1, 4, 4, 3), np.uint8),
        rows=[{"class": "cat", "number": 0}],
    )
    with PIL.Image.open(tmp_path / "sprite.png") as opened:
        assert opened.size == (4, 4)
