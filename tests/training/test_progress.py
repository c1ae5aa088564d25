import io

import pytest
import rich.console

from tfdl.training import progress

LOGS = {"loss": 1.25, "learning_rate": 0.01}


class Clock:
    """Stands in for `time.monotonic`."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock)
    return clock


def bar(*, is_terminal):
    said = io.StringIO()
    console = rich.console.Console(file=said, force_terminal=is_terminal, width=200)
    return progress.ProgressBar(console, total_steps=100, batch_size=32), said


def test_lines_tell_rate_and_remaining_time_at_most_every_ten_seconds(clock):
    watcher, said = bar(is_terminal=False)
    watcher.on_train_begin()
    watcher.on_train_batch_end(19, LOGS)  # the first call compiles: no rate
    clock.now += 11
    watcher.on_train_batch_end(41, LOGS)  # 22 steps of 32 pictures in 11 s
    clock.now += 5
    watcher.on_train_batch_end(60, LOGS)
    watcher.on_train_end()
    assert said.getvalue().splitlines() == [
        "step 42/100  loss 1.2500  learning rate 0.01  64 images/s  ETA 29 s"
    ]


def test_an_epoch_is_one_line_with_its_metrics():
    watcher, said = bar(is_terminal=False)
    watcher.on_epoch_end(0, {"loss": 0.5, "val_accuracy": 0.75})
    assert said.getvalue() == "epoch 1  loss 0.5000  val_accuracy 0.7500\n"


def test_a_terminal_gets_one_bar_and_its_cursor_back(clock):
    watcher, said = bar(is_terminal=True)
    watcher.on_train_begin()
    for step in (0, 49):
        clock.now += 1
        watcher.on_train_batch_end(step, LOGS)
    watcher.close()
    assert "50/100" in said.getvalue()
    hidden, shown = (
        said.getvalue().rfind("\x1b[?25l"),
        said.getvalue().rfind("\x1b[?25h"),
    )
    assert 0 <= hidden < shown


def test_closing_what_was_never_opened_says_nothing():
    watcher, said = bar(is_terminal=False)
    watcher.close()
    assert said.getvalue() == ""
