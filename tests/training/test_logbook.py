import numpy as np
import pytest
from tensorboard.backend.event_processing import (
    event_accumulator,
    plugin_event_accumulator,
)

from tfdl.training import logbook


def write(folder, *, step, epoch, last):
    """Write steps after `step` up to `last`, and one epoch row each two steps."""
    book = logbook.Logbook(folder, step=step, epoch=epoch)
    for number in range(step + 1, last + 1):
        book.steps(number, np.float32([number / 3]), np.float32([0.1]))
        book.scalars(number, {"loss": number / 3})
        if number % 2 == 0:
            book.epoch(number // 2, {"loss": number / 3, "val_accuracy": 0.5})
    book.sync()
    book.close()


def test_losses_are_written_exactly(tmp_path):
    write(tmp_path, step=0, epoch=0, last=1)
    line = (tmp_path / "steps.csv").read_text().splitlines()[1]
    assert float.fromhex(line.split(",")[1]) == float(np.float32(1 / 3))


def test_a_resumed_logbook_equals_an_uninterrupted_one(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    write(whole, step=0, epoch=0, last=8)
    write(killed, step=0, epoch=0, last=7)
    with open(killed / "steps.csv", "a") as file:
        file.write("8,0x1.4")  # half a row, as a kill leaves it
    write(killed, step=4, epoch=2, last=8)
    for name in ("steps.csv", "metrics.csv"):
        assert (whole / name).read_bytes() == (killed / name).read_bytes()


def test_a_logbook_of_step_zero_starts_empty(tmp_path):
    write(tmp_path, step=0, epoch=0, last=4)
    write(tmp_path, step=0, epoch=0, last=2)
    assert len((tmp_path / "steps.csv").read_text().splitlines()) == 3
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 2


def test_tensorboard_sees_every_step_once_after_a_resume(tmp_path):
    write(tmp_path, step=0, epoch=0, last=7)
    write(tmp_path, step=4, epoch=2, last=8)
    path = str(tmp_path / "events" / "train")
    events = plugin_event_accumulator.EventAccumulator(path)  # as TensorBoard reads
    events.Reload()
    assert [event.step for event in events.Tensors("loss")] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_tensorboard_reads_a_picture(tmp_path):
    book = logbook.Logbook(tmp_path, step=0, epoch=0)
    book.picture(3, "batch", np.full((5, 7, 3), 200, np.uint8))
    book.close()
    events = event_accumulator.EventAccumulator(str(tmp_path / "events" / "train"))
    events.Reload()
    image = events.Images("batch")[0]
    assert (image.step, image.height, image.width) == (3, 5, 7)


@pytest.mark.parametrize("name", ["steps.csv", "metrics.csv"])
def test_an_empty_table_of_a_crash_is_started_anew(tmp_path, name):
    (tmp_path / name).write_text("")
    write(tmp_path, step=0, epoch=0, last=2)
    assert len((tmp_path / name).read_text().splitlines()) >= 2


def test_what_a_power_cut_left_at_the_end_of_a_table_is_dropped(tmp_path):
    write(tmp_path, step=0, epoch=0, last=4)
    for name in ("steps.csv", "metrics.csv"):
        with open(tmp_path / name, "a") as file:
            file.write("\0\0\0\n5")
    write(tmp_path, step=4, epoch=2, last=4)
    assert len((tmp_path / "steps.csv").read_text().splitlines()) == 5
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 3
