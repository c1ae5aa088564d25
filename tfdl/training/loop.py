"""The training loop: Keras's `train_step` under any strategy, resumed bit by bit.

Keras 3's `fit` cannot resume exactly, fails on several workers, and runs several steps
in one call only on one device. This loop keeps the rest of Keras: what `compile`,
`compute_loss`, a `train_step` of the model's own, metrics and callbacks mean.
"""

import dataclasses
import math
import pathlib
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from tfdl import errors
from tfdl.training import (
    checkpoint,
    interruption,
    logbook,
    memory,
    optimizers,
    replicas,
    steps,
    strategy,
)

_SCALARS_EVERY = 10  # steps
_NAMED_EXAMPLES = 8


@dataclasses.dataclass
class State:
    """What the host knows about a run; it is saved with every checkpoint.

    Attributes:
        step: steps done.
        epoch: epochs done, validation included.
        epoch_steps: steps of the current epoch that are done.
        loss_sum: sum of their losses.
        is_stopped: whether a callback ended the training early.
        callbacks: the plain attributes of every callback.
    """

    step: int = 0
    epoch: int = 0
    epoch_steps: int = 0
    loss_sum: float = 0.0
    is_stopped: bool = False
    callbacks: list[dict] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Plan:
    """How long to train, and when to save.

    Attributes:
        total_steps: steps of the whole training.
        epoch_steps: steps of an epoch.
        steps_per_execution: steps that run in one call, without a look by Python.
        save_every: steps between checkpoints, besides one at the end of every epoch.
        keep: how many checkpoints to keep.
        seed: of dropout and of every other layer that draws.
    """

    total_steps: int
    epoch_steps: int
    steps_per_execution: int
    save_every: int
    keep: int
    seed: int

    def epoch_end(self, state: State) -> int:
        """Return the step at which the current epoch ends."""
        return min((state.epoch + 1) * self.epoch_steps, self.total_steps)

    def next_stop(self, state: State) -> int:
        """Return the next step at which Python must look."""
        next_save = (state.step // self.save_every + 1) * self.save_every
        next_call = state.step + self.steps_per_execution
        return min(next_call, next_save, self.epoch_end(state))


def train(
    model: keras.Model,
    batches: Callable[[range], tf.data.Dataset],
    *,
    plan: Plan,
    folder: pathlib.Path,
    where: tf.distribute.Strategy,
    validate: Callable[[], dict[str, float]],
    callbacks: Sequence[keras.callbacks.Callback],
    interrupted: interruption.Interruption,
    warn: Callable[[str], None],
    names_of_step: Callable[[int], Sequence[str]] = lambda step: (),
) -> State:
    """Train, or go on with a run where its newest whole checkpoint stands.

    Args:
        model: built and compiled under `where`, its optimizer built. A `compute_loss`
            of its own returns the mean of the replica's batch divided by the number of
            replicas, as every Keras loss does by itself.
        batches: steps -> distributed data set of what `model.train_step` takes.
        plan: how long, and when to save.
        folder: of this run, shared by all workers; those that are not the chief keep
            their logs in a folder of their own below it.
        where: the strategy.
        validate: measures the model on the validation split; may raise what
            `interrupted.check` raises, but not where there are several workers.
        callbacks: Keras's or others; attributes that are numbers, strings or None are
            saved and restored, so early stopping survives a crash. They hear of the
            training's begin and end, of epochs and of the last step of every call.
        interrupted: tells when a signal asks to stop.
        warn: takes one line for each damaged checkpoint.
        names_of_step: names the examples of a step, for the message on divergence.

    Returns:
        The state at the end.

    Raises:
        DivergedError: a loss or gradient is not finite; nothing of it was saved.
        InterruptedRun: a signal came; everything is saved.
        ResourceError: a checkpoint cannot be written.
        ModelFileError: every checkpoint is damaged.
        UsageError: the workers do not see the same checkpoints.
    """
    steps.build_metrics(model, batches(range(1)), where)
    memory.keep_freed()  # from here on: a data set has been read
    checkpoints = checkpoint.Checkpoints(
        folder / "checkpoints",
        model,
        keep=plan.keep,
        is_chief=strategy.is_chief(where),
        warn=warn,
    )
    state = State(**(checkpoints.restore() or {}))
    add = replicas.adder(where)
    if add(state.step) != state.step * where.num_replicas_in_sync:
        raise errors.UsageError(
            f"--run {folder}: the workers do not stand at the same step",
            "name a folder that all of them share, or start again with --overwrite",
        )
    if _is_finished(state, plan):
        return state
    own = strategy.own_folder(where, folder)
    book = logbook.Logbook(own, step=state.step, epoch=state.epoch)
    watchers = _start(callbacks, model, state)
    run_steps = steps.compile_steps(model, where, plan.seed)
    iterator = iter(batches(range(state.step, plan.total_steps)))

    def save() -> None:
        state.callbacks = [_plain_attributes(callback) for callback in callbacks]
        book.sync()
        checkpoints.save(state.step, dataclasses.asdict(state))

    try:
        while state.step < plan.total_steps or state.epoch_steps:
            if state.step >= plan.epoch_end(state):
                _end_epoch(model, state, book, watchers, validate)
                save()
                if state.is_stopped:
                    break
                continue
            if not state.epoch_steps:
                watchers.on_epoch_begin(state.epoch)
            count = plan.next_stop(state) - state.step
            results = run_steps(iterator, tf.constant(state.step, tf.int64), count)
            _record(results, state, book, watchers, names_of_step)
            if state.step % plan.save_every == 0:
                save()
            interrupted.check(agree=add)
    except errors.InterruptedRun:
        save()
        raise
    finally:
        book.close()
    watchers.on_train_end()
    return state


def _is_finished(state: State, plan: Plan) -> bool:
    """Tell whether nothing is left, not even an epoch that is not measured yet."""
    has_all_steps = state.step == plan.total_steps and not state.epoch_steps
    return state.is_stopped or has_all_steps or state.step > plan.total_steps


def _record(results, state: State, book: logbook.Logbook, watchers, names_of_step):
    """Write the results of some steps down, and refuse to go on without sense."""
    first = state.step + 1
    book.steps(first, results["loss"], results["learning_rate"])
    state.step += len(results["loss"])
    last = {name: float(values[-1]) for name, values in results.items()}
    if not all(map(math.isfinite, last.values())):
        raise _diverged(state.step, last, names_of_step(state.step - 1))
    state.epoch_steps += len(results["loss"])
    for loss in results["loss"]:  # one by one: the same however calls are cut
        state.loss_sum += float(loss)
    if (first - 1) // _SCALARS_EVERY != state.step // _SCALARS_EVERY:
        book.scalars(state.step, last)
    watchers.on_train_batch_end(state.step - 1, last)


def _end_epoch(model, state: State, book: logbook.Logbook, watchers, validate) -> None:
    """Measure the epoch, on averaged weights if there are any, and write its row."""
    metrics = {n: float(v) for n, v in model.get_metrics_result().items()}
    metrics["loss"] = state.loss_sum / state.epoch_steps
    with optimizers.averaged_weights(model):
        measured = validate()
        row = metrics | {f"val_{name}": value for name, value in measured.items()}
        watchers.on_epoch_end(state.epoch, row)
    state.epoch += 1
    state.epoch_steps, state.loss_sum = 0, 0.0
    state.is_stopped = model.stop_training
    model.reset_metrics()
    book.epoch(state.epoch, row)
    book.scalars(state.step, {f"epoch_{n}": v for n, v in metrics.items()})
    book.scalars(
        state.step, {f"epoch_{n}": v for n, v in measured.items()}, kind="validation"
    )


def _start(callbacks, model: keras.Model, state: State) -> keras.callbacks.CallbackList:
    """Begin the callbacks, then give each back what it knew."""
    model.stop_training = False
    watchers = keras.callbacks.CallbackList(list(callbacks), model=model)
    watchers.on_train_begin()
    for callback, attributes in zip(callbacks, state.callbacks, strict=False):
        vars(callback).update(attributes)
    return watchers


def _plain_attributes(callback: keras.callbacks.Callback) -> dict:
    kinds = (bool, int, float, str, type(None))
    public = {n: v for n, v in vars(callback).items() if not n.startswith("_")}
    public.pop("min_delta", None)  # Keras negates it once in the life of an object
    return {name: value for name, value in public.items() if isinstance(value, kinds)}


def _diverged(step: int, last: dict[str, float], names) -> errors.DivergedError:
    shown = ", ".join(names[:_NAMED_EXAMPLES])
    unnamed = len(names) - _NAMED_EXAMPLES
    more = f" and {unnamed} more" if unnamed > 0 else ""
    batch = f"; its batch: {shown}{more}" if names else ""
    return errors.DivergedError(
        f"step {step} has loss {last['loss']} and gradient norm "
        f"{last['gradient_norm']}{batch}",
        "nothing of it was saved: lower --learning-rate, set --clip-norm or mend the "
        "pictures, and train a new --run",
    )
