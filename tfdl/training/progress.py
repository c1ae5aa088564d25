"""Shows how far a training is: one bar on a terminal, plain lines elsewhere."""

import time

import keras
import rich.console
import rich.progress

_LINE_EVERY_SECONDS = 10


class ProgressBar(keras.callbacks.Callback):
    """One bar for the whole training, with rate, ETA, loss and learning rate.

    Args:
        console: where to write; its `is_terminal` decides between bar and lines.
        total_steps: steps of the whole training.
        batch_size: examples in a step.
    """

    def __init__(self, console: rich.console.Console, *, total_steps, batch_size):
        super().__init__()
        self._console = console
        self._total = total_steps
        self._batch_size = batch_size
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TimeRemainingColumn(),
            console=console,
        )
        self._task = self._bar.add_task("compiling", total=total_steps)
        self._last = None  # (time, step) of the last rate
        self._shown = 0.0

    def on_train_begin(self, logs=None):
        """Start the bar."""
        if self._console.is_terminal:
            self._bar.start()

    def on_train_batch_end(self, batch, logs=None):
        """Move the bar, or write a line now and then."""
        now, step = time.monotonic(), batch + 1
        if self._last is None:  # the first call compiles and says nothing of the rate
            self._last = (now, step)
            return
        if now - self._shown < (
            0.2 if self._console.is_terminal else (_LINE_EVERY_SECONDS)
        ):
            return
        elapsed, steps = now - self._last[0], step - self._last[1]
        rate = steps * self._batch_size / elapsed
        text = (
            f"loss {logs['loss']:.4f}  learning rate {logs['learning_rate']:.2g}  "
            f"{rate:.0f} images/s"
        )
        self._shown = now
        if self._console.is_terminal:
            self._bar.update(self._task, completed=step, description=text)
            return
        remaining = (self._total - step) * elapsed / steps
        self._console.print(
            f"step {step}/{self._total}  {text}  ETA {remaining:.0f} s", soft_wrap=True
        )

    def on_epoch_end(self, epoch, logs=None):
        """Write the epoch's metrics above the bar."""
        text = "  ".join(f"{name} {value:.4f}" for name, value in logs.items())
        self._console.print(f"epoch {epoch + 1}  {text}", soft_wrap=True)

    def on_train_end(self, logs=None):
        """Stop the bar."""
        self.close()

    def close(self) -> None:
        """Give the terminal back, also after an error."""
        if self._console.is_terminal:
            self._bar.stop()
