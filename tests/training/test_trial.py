import numpy as np

from tfdl.training import trial as trials


def weights(model):
    return [variable.numpy() for variable in model.variables]


def test_a_reset_puts_every_weight_back(model, bars, made_trial):
    before = weights(model)
    trial = made_trial(model, bars())
    trial.train(bars().batches(range(5)), 0.1, 5)
    assert any(np.any(a != b) for a, b in zip(before, weights(model), strict=True))
    trial.reset()
    for a, b in zip(before, weights(model), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_same_trial_twice_gives_the_same_losses(model, bars, made_trial):
    trial = made_trial(model, bars())
    first = trial.train(bars().batches(range(8)), 0.1, 8)
    trial.reset()
    np.testing.assert_array_equal(first, trial.train(bars().batches(range(8)), 0.1, 8))


def test_a_sweep_at_one_rate_is_a_training_at_it(model, bars, made_trial):
    trial = made_trial(model, bars())
    trained = trial.train(bars().batches(range(6)), 0.05, 6)
    trial.reset()
    swept = list(trial.sweep(bars().batches(range(6)), [0.05] * 6))
    np.testing.assert_allclose(swept, trained, rtol=1e-6)


def test_gradients_are_those_of_finite_differences(model, bars, made_trial):
    trial = made_trial(model, bars())
    batch = next(iter(bars().batches(range(1))))
    gradient = trial.gradients(batch)[-1]  # of the head's bias
    bias, losses = model.get_layer("head").bias, []
    for shift in (0.01, -0.01):
        bias.assign([shift, 0.0])
        losses.append(trial.loss(batch, training=True))
    np.testing.assert_allclose(gradient[0], (losses[0] - losses[1]) / 0.02, rtol=1e-3)


def test_the_loss_is_what_keras_evaluates(model, bars, made_trial):
    trial = made_trial(model, bars())
    batch = next(iter(bars().batches(range(1))))
    expected = model.evaluate(*batch, verbose=0)
    np.testing.assert_allclose(trial.loss(batch, training=False), expected, rtol=1e-6)


def test_training_ends_at_a_loss_that_is_not_finite(model, bars, made_trial):
    trial = made_trial(model, bars())
    losses = trial.train(bars().batches(range(20)), 1e30, 20)
    assert len(losses) < 20


def test_one_batch_is_repeated():
    twice = trials.repeated((np.ones(3), np.zeros(3))).take(2)
    assert [x.numpy().sum() for x, _ in twice] == [3, 3]
