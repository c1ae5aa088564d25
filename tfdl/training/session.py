"""Whole commands from flags to last line, the same for every task: check and train."""

import functools
import pathlib
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

import keras
import rich.console
import tensorflow as tf

from tfdl import drawing, errors, findings
from tfdl.training import (
    best,
    diagnostics,
    ensembles,
    flags,
    inference,
    interruption,
    loop,
    optimizers,
    precision,
    progress,
    replicas,
    run_folder,
    snapshots,
    strategy,
)


class Feed(Protocol):
    """What a session asks of the training data, see `tfdl.data.pipeline.Training`."""

    batch_size: int
    epoch_steps: int

    def batches(self, steps: range, shard) -> tf.data.Dataset:
        """Build the batches of some steps, or one worker's part of them."""

    def shard(self, index: int, count: int, replicas: int):
        """Return the part of a worker: its number, of how many, its replicas."""

    def names_of_step(self, step: int) -> Sequence[str]:
        """Name the examples of a step."""


def check(config, folder: pathlib.Path, prepare: Callable[[], dict]) -> None:
    """Look at data and model before a run, and write what is found into its folder.

    Nothing else of the folder is touched: a run may be there, or come later.

    Args:
        config: flags of the app, as for `train`.
        folder: of the run; its `check` gets findings.json, charts and pictures.
        prepare: reads the data and returns the arguments of `diagnostics.SetUp`; its
            DataError is a finding.

    Raises:
        DataError: a check of the data failed, the first of those that did.
        UsageError: one of the model or the flags did.
    """
    run, optimization = config.run, config.optimization
    _begin(run.seed, optimization.precision)
    _, say = _console()
    try:
        set_up = diagnostics.SetUp(**prepare())
    except errors.DataError as error:
        reason = f"{error}; {error.remedy}"
        found = [findings.Finding("data", "fail", reason, is_about_data=True)]
        drawn = {}
    else:
        rate = optimization.peak_rate(set_up.feed.batch_size)
        model = set_up.build(optimization.build_trial_optimizer(set_up.feed.batch_size))
        model, frozen = _made_ready(model, optimization)
        found, drawn = diagnostics.run(
            set_up, model, rate=rate, is_frozen=frozen, seed=run.seed
        )
    place = folder / "check"
    drawing.save(place, drawn)
    run_folder.write_json(place / "findings.json", [vars(row) for row in found])
    width = max(len(row.name) for row in found)
    for row in found:
        say(f"{row.verdict}  {row.name:{width}}  {row.reason}")
    say(f"pictures in {place.resolve()}")
    findings.refuse_failures(found)


def train(
    config,
    folder: pathlib.Path,
    *,
    feed: Feed,
    build: Callable[[keras.Optimizer], keras.Model],
    validate: Callable[..., dict[str, float]],
    monitor: str,
    mode: str,
    class_names: Sequence[str],
    begin: Callable[[], None] = lambda: None,
) -> bool:
    """Train a run, or go on with it, and say where everything is.

    Args:
        config: flags of the app, each with a default, with `flags.Optimization` as
            `optimization` and `flags.Run` as `run`.
        folder: of the run.
        feed: the training batches.
        build: optimizer -> compiled model; called under the strategy. It is what is
            trained; `inference.part_of` it is validated and kept as the best.
        validate: (inference, as `inference.compiled` makes it, check) -> metrics of
            the validation split; calls `check` now and then, and lets through what it
            raises (nothing where there are several workers, which stop together).
        monitor: the metric that the best weights are chosen by, as "val_accuracy".
        mode: "max" or "min".
        class_names: of the data; config.json keeps them for `restore`.
        begin: draws into the folder, once it is the run's; on the chief alone.

    Returns:
        Whether this process writes the run's folder.

    Raises:
        UserError: of any kind, see `tfdl.errors`.
    """
    run, optimization = config.run, config.optimization
    _begin(run.seed, optimization.precision)
    where = strategy.create(run.strategy)
    console, say = _console()
    stops = interruption.Interruption()
    plan = run.plan(
        total_steps=optimization.total_steps(feed.epoch_steps),
        epoch_steps=feed.epoch_steps,
    )
    is_chief = strategy.is_chief(where)
    opened = _opened(config, folder, plan, class_names, is_chief=is_chief)
    with opened, stops.listening():
        own = folder if is_chief else None
        keeper = best.BestWeights(own, monitor=monitor, mode=mode)
        bar = progress.ProgressBar(
            console, total_steps=plan.total_steps, batch_size=feed.batch_size
        )
        model = _build(where, optimization, feed, build)
        infer = inference.compiled(inference.part_of(model))
        if is_chief:
            begin()
        check = (lambda: None) if replicas.has_several_workers(where) else stops.check
        try:
            state = loop.train(
                model,
                lambda steps: _distributed(where, feed, steps),
                plan=plan,
                folder=folder,
                where=where,
                validate=lambda: validate(infer, check),
                callbacks=[
                    keeper,
                    *_early_stop(optimization.patience, monitor, mode),
                    bar,
                    *_snapshots(optimization.cycle_epochs, own),
                ],
                interrupted=stops,
                warn=say,
                names_of_step=feed.names_of_step,
            )
        finally:
            bar.close()
    if is_chief:
        _conclude(say, folder, state, keeper)
    return is_chief


def restore(
    kind: type,
    folder: pathlib.Path,
    build: Callable[..., keras.Model],
    join: Callable[..., keras.Model] | None = None,
    *,
    number_format: str = "as_trained",
) -> tuple:
    """Rebuild a run's best model, or the ensemble that `ensembles.gather` made of some.

    Args:
        kind: the app's dataclass of flags.
        folder: of the run.
        build: (flags, number of classes) -> model.
        join: (flags, models) -> one model, where the app takes ensembles.
        number_format: what the model computes in: "float32", "bfloat16", or
            "as_trained", each member in its own.

    Returns:
        (flags, names of the classes, model with its weights); the flags of an ensemble
        are its first member's.

    Raises:
        ModelFileError: there is no run, or its weights are missing or damaged.
        UsageError: it is an ensemble and there is no `join`.
    """
    configs, models = [], []
    for saved, weights in ensembles.listed(folder):
        config, names = flags.from_config(kind, saved), saved["class_names"]
        trained = config.optimization.precision
        precision.use(trained if number_format == "as_trained" else number_format)
        model = build(config, len(names))
        best.load_weights(model, weights)
        models.append(model)
        configs.append(config)
    if len(models) == 1:
        return configs[0], names, models[0]
    if join is None:
        raise errors.UsageError(
            f"--run {folder} is an ensemble, which this app does not take",
            "name one of its members",
        )
    if number_format == "as_trained":
        _console()[1](f"{folder} is an ensemble of {len(models)} models")
    return configs[0], names, join(configs[0], models)


def _begin(seed: int, number_format: str) -> None:
    """Set what is global: seeds, determinism, precision."""
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(seed)
    # A data set cannot be shuffled by a tensor's seed while TensorFlow's own is 0.
    tf.random.set_seed(seed + 1)
    precision.use(number_format)


def _console():
    """Return (console, a function that prints a line on it as it is)."""
    # Names of files may hold what rich would take for markup.
    console = rich.console.Console(highlight=False, markup=False, emoji=False)
    return console, functools.partial(console.print, soft_wrap=True)


def _opened(config, folder, plan: loop.Plan, class_names, *, is_chief: bool):
    """Take the run's folder, with everything that decides the result."""
    settings = {"class_names": list(class_names), "epoch_steps": plan.epoch_steps}
    if config.optimization.cycle_epochs:  # the length of a cycle may not change
        settings["cycle_epochs"] = config.optimization.cycle_epochs
    return run_folder.opened(
        folder,
        config=run_folder.as_config(config) | settings,
        defaults=run_folder.as_config(type(config)()),
        free=flags.FREE_FLAGS,
        overwrite=config.run.overwrite,
        is_chief=is_chief,
    )


def _build(where, optimization: flags.Optimization, feed: Feed, build) -> keras.Model:
    """Build everything that has variables under the strategy."""
    with where.scope():
        optimizer = optimization.build_optimizer(
            epoch_steps=feed.epoch_steps, batch_size=feed.batch_size
        )
        return _made_ready(build(optimizer), optimization)[0]


def _made_ready(model: keras.Model, optimization: flags.Optimization):
    """Apply what flags say of the weights -> (model, names of the frozen layers)."""
    already = {layer.name for layer in model.layers if not layer.trainable}
    optimizers.freeze(model, until=optimization.freeze)
    optimizers.penalize(model, l1=optimization.l1, l2=optimization.l2)
    optimizers.build(model)
    frozen = {layer.name for layer in model.layers if not layer.trainable}
    return model, frozen - already


def _distributed(where, feed: Feed, steps: range):
    """Give every worker and replica its own positions of each batch."""

    def part(context: tf.distribute.InputContext) -> tf.data.Dataset:
        workers = context.num_input_pipelines
        replicas = context.num_replicas_in_sync // workers
        own = feed.shard(context.input_pipeline_id, workers, replicas)
        return feed.batches(steps, own)

    return where.distribute_datasets_from_function(part)


def _snapshots(cycle_epochs: int, folder: pathlib.Path | None) -> list:
    if not cycle_epochs:
        return []
    return [snapshots.Snapshots(folder, cycle_epochs=cycle_epochs)]


def _early_stop(patience: int, monitor: str, mode: str) -> list:
    if not patience:
        return []
    return [keras.callbacks.EarlyStopping(monitor, patience=patience, mode=mode)]


def _conclude(say, folder: pathlib.Path, state: loop.State, keeper) -> None:
    """Say what came out, where it is, and what to do next."""
    if keeper.best is not None:
        say(
            f"best {keeper.monitor} {keeper.best:.4f} at epoch {keeper.best_epoch}, "
            f"in {folder.resolve()}"
        )
    else:
        more = "a larger --epochs goes on"
        if state.is_stopped:
            more = "--overwrite trains anew"
        say(f"already finished at epoch {state.epoch} (step {state.step}); {more}")
    program, run = f"python {sys.argv[0]}", shlex.quote(str(folder))
    for verb in ("evaluate", "export"):
        say(f"  {program} {verb} --run {run}")
    say(f"  tensorboard --logdir {shlex.quote(str(folder / 'events'))}")
