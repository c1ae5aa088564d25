"""Runs the course's optimizers beside each other, on two surfaces and on LeNet-5.

    python benchmarks/optimizers.py            # all of it, about 3 minutes

Needs SciPy, and the data set `mnist_idx` in the folder that TFDL_DATA names. Pictures
go to runs/benchmarks/optimizers. What is compared is the number of gradients: an
optimizer takes one in each step, L-BFGS one for each point that its line search tries.

Both surfaces are turned by 30 degrees: AdaGrad, RMSProp and Adam scale each coordinate
by itself, and with the valley along an axis AdaGrad would be done in 6 steps.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import tfdl.quiet  # noqa: F401  # isort: skip
import keras
import numpy as np
import scipy.optimize
import tables
import tensorflow as tf

from tfdl import drawing
from tfdl.backbones import lenet
from tfdl.tasks.classification import data, feeding
from tfdl.training import flags, optimizers

NAMES = {
    "sgd": "SGD",
    "momentum": "momentum 0.9",
    "nesterov": "Nesterov 0.9",
    "adagrad": "AdaGrad",
    "rmsprop": "RMSProp",
    "adam": "Adam",
    "uncorrected": "Adam uncorrected",
    "lbfgs": "L-BFGS",
}
# SGD stops converging at 0.02 on the quadratic. Over 1, AdaGrad's first step leaves the
# saddle's surroundings by its length alone.
RATES = [
    digit * 10.0**power for power in range(-3, 1) for digit in (1, 1.5, 2, 3, 5, 7)
]
SADDLE_RATES = [rate for rate in RATES if rate <= 1]
NETWORK_RATES = {
    "sgd": (0.03, 0.1, 0.3),
    "momentum": (0.003, 0.01, 0.03),
    "nesterov": (0.003, 0.01, 0.03),
    "adagrad": (0.01, 0.03, 0.1),
    "rmsprop": (0.001, 0.003, 0.01),
    "adam": (0.001, 0.003, 0.01),
    "uncorrected": (0.0003, 0.001, 0.003),
}
STEPS = 300  # on a surface
IMAGES, BATCH, PASSES, MOST_PASSES = 4096, 64, 10, 60  # over MNIST
FLOOR = 1e-6  # losses below it are not drawn
COSINE, SINE = np.cos(np.pi / 6), np.sin(np.pi / 6)


class UncorrectedAdam(keras.optimizers.Adam):
    """Adam without the division by 1 - beta^t [Kingma 2015, section 3]."""

    def update_step(self, gradient, variable, learning_rate):
        """Update one weight; both averages begin at 0 and are taken as they are."""
        index = self._get_variable_index(variable)
        mean, square = self._momentums[index], self._velocities[index]
        self.assign_add(mean, (gradient - mean) * (1 - self.beta_1))
        self.assign_add(square, (gradient**2 - square) * (1 - self.beta_2))
        rate = tf.cast(learning_rate, variable.dtype)
        self.assign_sub(variable, rate * mean / (tf.sqrt(square) + self.epsilon))


@dataclasses.dataclass(frozen=True)
class Problem:
    """A loss to minimize.

    Attributes:
        variables: what it is minimized over.
        loss: numbers of examples, int64 (examples,) -> mean loss over them.
        whole: numbers of all examples.
        orders: int64 (records, steps, batch), the examples of every step; loss and
            weights are recorded after each record's steps.
        rates: learning rates to try with each optimizer.
        limit: the loss to get below soonest; 0 asks for the least loss at the end.
        most_gradients: of L-BFGS, over all examples.
    """

    variables: Sequence[keras.Variable]
    loss: Callable
    whole: np.ndarray
    orders: np.ndarray
    rates: Mapping[str, Sequence[float]]
    limit: float
    most_gradients: int

    @property
    def point(self) -> np.ndarray:
        """All weights in one row, float64 (weights,)."""
        parts = [variable.numpy().ravel() for variable in self.variables]
        return np.concatenate(parts).astype(np.float64)

    def put(self, point: np.ndarray) -> None:
        """Set the weights."""
        ends = np.cumsum([np.size(variable) for variable in self.variables])
        parts = np.split(point, ends[:-1])
        for variable, part in zip(self.variables, parts, strict=True):
            variable.assign(part.reshape(variable.shape))

    def gradient(self, numbers) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Compute the loss over some examples and its gradient."""
        values = [variable.value for variable in self.variables]
        with tf.GradientTape() as tape:
            loss = self.loss(numbers)
        return loss, tape.gradient(loss, values)


@dataclasses.dataclass(frozen=True)
class Descent:
    """What one optimizer did.

    Attributes:
        name: what charts call it, with its learning rate.
        spent: int (records,), gradients per example until each record.
        losses: float (records,).
        points: float64 (records, weights).
    """

    name: str
    spent: np.ndarray
    losses: np.ndarray
    points: np.ndarray

    def settled(self, limit: float) -> float:
        """Count gradients until the loss is below a limit for good, or infinity."""
        above = np.nonzero(~(self.losses < limit))[0]  # also where it is no number
        place = above[-1] + 1 if len(above) else 0
        return self.spent[place] if place < len(self.spent) else np.inf


def descend(name: str, problem: Problem) -> Descent:
    """Minimize from the present weights, at the best of the rates -> how it went."""
    if name == "lbfgs":
        return _line_searched(problem)
    if name == "uncorrected":
        method = UncorrectedAdam()
    else:
        method = optimizers.optimizer(name, learning_rate=1.0)  # set for each run
    method.build(problem.variables)
    everything = [*problem.variables, *method.variables]
    kept = [variable.numpy() for variable in everything]
    whole_loss = tf.function(problem.loss)

    @tf.function
    def advance(order):
        for numbers in order:
            method.apply(problem.gradient(numbers)[1], problem.variables)

    def measured(rate):
        for variable, value in zip(everything, kept, strict=True):
            variable.assign(value)
        method.learning_rate.assign(rate)
        losses, points = [float(whole_loss(problem.whole))], [problem.point]
        for order in problem.orders:
            advance(order)
            losses.append(float(whole_loss(problem.whole)))
            points.append(problem.point)
        spent, title = np.arange(len(losses)), f"{NAMES[name]}, rate {rate:g}"
        return Descent(title, spent, np.array(losses), np.array(points))

    def order_of(run):
        return run.settled(problem.limit), np.nan_to_num(run.losses[-1], nan=np.inf)

    best = min(map(measured, problem.rates[name]), key=order_of)
    problem.put(best.points[0])
    return best


def _line_searched(problem):
    """Minimize with SciPy's L-BFGS, over all examples at a time."""
    compiled, start = tf.function(problem.gradient), problem.point
    records, spent = [(0, float(problem.loss(problem.whole)), start)], 0

    def gradient(point):
        nonlocal spent
        spent += 1
        problem.put(point)
        loss, parts = compiled(problem.whole)
        flat = np.concatenate([np.ravel(part) for part in parts])
        return float(loss), flat.astype(np.float64)

    def accepted(intermediate_result):
        place = intermediate_result
        records.append((spent, place.fun, place.x.copy()))

    scipy.optimize.minimize(
        gradient,
        start,
        jac=True,
        method="L-BFGS-B",
        callback=accepted,
        options={"maxfun": problem.most_gradients},
    )
    problem.put(start)
    return Descent(NAMES["lbfgs"], *map(np.array, zip(*records, strict=True)))


def turned(points) -> np.ndarray:
    """Turn points (along, across) by 30 degrees into (x, y), float64 (points, 2)."""
    along, across = np.transpose(points)
    return np.stack([COSINE * along - SINE * across, SINE * along + COSINE * across], 1)


def quadratic(x, y):
    """Return a parabola of curvatures 1 and 100."""
    along, across = COSINE * x + SINE * y, COSINE * y - SINE * x
    return (along**2 + 100 * across**2) / 2


def saddle(x, y):
    """Return a double well: curvatures -0.1 and 1 and height 0.025 at its saddle."""
    along, across = COSINE * x + SINE * y, COSINE * y - SINE * x
    return across**2 / 2 + 0.1 * (along**2 - 1) ** 2 / 4


def surface(height: Callable, start: Sequence[float], limit: float, rates) -> Problem:
    """Pose the problem of a surface, from a start given along and across."""
    point = keras.Variable(turned([start])[0], dtype="float32", name="point")
    one = np.zeros(1, np.int64)
    return Problem(
        [point],
        lambda numbers: height(*tf.unstack(point.value)),
        whole=one,
        orders=np.zeros((STEPS, 1, 1), np.int64),
        rates=dict.fromkeys(NAMES, rates),
        limit=limit,
        most_gradients=STEPS,
    )


def network() -> tuple[Problem, Callable[[np.ndarray], float]]:
    """Pose the problem of LeNet-5 -> it, and weights -> validation accuracy."""
    splits = feeding.read(
        **flags.Data(source="mnist:mnist_idx", image_size=28, channels=1).feeding(),
        seed=0,
        augmentation="none",  # so that L-BFGS has one function to minimize
        mix="none",
        multi_label=False,
    )
    keras.utils.set_random_seed(0)
    model = lenet.lenet5((28, 28, 1), len(splits.class_names))
    images, targets = _first(splits, "train", IMAGES)
    held_images, held_targets = _first(splits, "validation", None)

    def loss(numbers):
        logits = model(tf.gather(images, numbers), training=True)
        truth = tf.gather(targets, numbers)
        return tf.reduce_mean(
            keras.losses.categorical_crossentropy(truth, logits, from_logits=True)
        )

    random = np.random.default_rng(0)
    problem = Problem(
        model.trainable_variables,
        loss,
        whole=np.arange(IMAGES),
        orders=np.stack([random.permutation(IMAGES) for _ in range(PASSES)]).reshape(
            PASSES, -1, BATCH
        ),
        rates=NETWORK_RATES,
        limit=0.0,
        most_gradients=MOST_PASSES,
    )

    def accuracy(point):
        problem.put(point)
        logits = model.predict(held_images, batch_size=1024, verbose=0)
        return float(np.mean(logits.argmax(-1) == held_targets.argmax(-1)))

    return problem, accuracy


def _first(splits, split, count):
    """Read the first examples of a split -> images and targets."""
    batches = list(splits.evaluation(split).map(data.inputs_and_targets))
    return tuple(np.concatenate(parts)[:count] for parts in zip(*batches, strict=True))


def loss_chart(runs: Mapping[str, Descent], *, title: str, x_label: str) -> np.ndarray:
    """Draw losses against gradients, down to the floor."""
    series = {}
    for run in runs.values():
        visible = np.minimum.accumulate(run.losses > FLOOR)
        visible[0] = False  # no gradients at all have no place on the axis
        series[run.name] = run.spent[visible], run.losses[visible]
    texts = {"title": title, "x_label": x_label, "y_label": "loss (no unit)"}
    return drawing.curves(series, log_x=True, log_y=True, **texts)


def path_chart(runs: Mapping[str, Descent], height: Callable, minima, title: str):
    """Draw the paths over the surface, all of them and the minima inside."""
    points = np.concatenate([minima, *(run.points for run in runs.values())])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.08 * (high - low).max()
    x, y = np.linspace(low - margin, high + margin, 200).T
    return drawing.descents(
        {run.name: run.points for run in runs.values()},
        heights=height(x[None, :], y[:, None]),
        x=x,
        y=y,
        minima=minima,
        title=title,
        x_label="first weight (no unit)",
        y_label="second weight (no unit)",
        columns=3,
    )


def table(valley, ridge, digits, accuracies, limits) -> list[str]:
    """Write what the descents on the three problems came to, one row each."""
    lines = [
        f"Machine: {tables.machine()}. Gradients on the quadratic until the loss stays "
        f"below {limits[0]:g} (from 232), on the saddle until it stays below half the "
        f"saddle's height, {limits[1]:g}; at most {STEPS} of each. LeNet-5: the first "
        f"{IMAGES} pictures of MNIST in batches of {BATCH}, L-BFGS in one; loss and "
        f"accuracy on validation after {PASSES} passes over them, and of L-BFGS also "
        "after the last. Each learning rate is the best of a grid for its problem; on "
        "the saddle none is over 1.",
        "",
        "| optimizer | quadratic: rate | first step's length | gradients "
        "| saddle: rate | gradients "
        "| LeNet-5: rate | passes | training loss | validation accuracy |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, title in NAMES.items():
        steps = np.linalg.norm(np.diff(valley[name].points[:2], axis=0))
        for place, accuracy in accuracies[name].items():
            run = digits[name]
            lines.append(
                f"| {title} | {_rate(valley[name])} | {steps:.2f} "
                f"| {_gradients(valley[name], limits[0])} | {_rate(ridge[name])} "
                f"| {_gradients(ridge[name], limits[1])} | {_rate(run)} "
                f"| {run.spent[place]} | {run.losses[place]:.4f} | {accuracy:.2%} |"
            )
    return lines


def _rate(run):
    return run.name.partition(", rate ")[2] or "line search"


def _gradients(run, limit):
    spent = run.settled(limit)
    return f"{spent:.0f}" if np.isfinite(spent) else f"not in {STEPS}"


def main() -> None:
    """Run everything, draw it and write the table."""
    folder, limits = tables.RESULTS / "optimizers", (0.01, 0.0125)
    x_label = "gradients, one for each step (L-BFGS: for each point tried)"
    surfaces = {
        "quadratic": (quadratic, (-8.0, 2.0), [(0, 0)], limits[0], RATES),
        "saddle": (saddle, (0.001, 1.0), [(-1, 0), (1, 0)], limits[1], SADDLE_RATES),
    }
    titles = {
        "quadratic": "Quadratic with condition number 100",
        "saddle": "Saddle with curvatures 1 and -0.1, entered 0.001 beside its ridge",
    }
    found = {}
    for key, (height, start, minima, limit, rates) in surfaces.items():
        problem = surface(height, start, limit, rates)
        runs = found[key] = {name: descend(name, problem) for name in NAMES}
        paths = path_chart(runs, height, turned(minima), titles[key])
        losses = loss_chart(runs, title=titles[key], x_label=x_label)
        drawing.save(folder, {f"{key}_paths": paths, f"{key}_loss": losses})
    problem, accuracy = network()
    runs = {name: descend(name, problem) for name in NAMES}
    title = f"LeNet-5 on {IMAGES} pictures of MNIST, loss over all of them"
    x_label = (
        f"passes over the pictures: {IMAGES // BATCH} steps each (L-BFGS: 1 gradient)"
    )
    drawing.save(folder, {"lenet_loss": loss_chart(runs, title=title, x_label=x_label)})
    accuracies = {}
    for name, run in runs.items():
        places = {np.nonzero(run.spent <= PASSES)[0][-1], len(run.spent) - 1}
        accuracies[name] = {n: accuracy(run.points[n]) for n in sorted(places)}
    tables.write("optimizers", table(*found.values(), runs, accuracies, limits))


if __name__ == "__main__":
    main()
