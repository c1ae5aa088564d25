import numpy as np
import pytest
import scipy.stats

from tfdl import errors
from tfdl.ops import intervals


class TestBootstrapInterval:
    @pytest.mark.parametrize("statistic", [np.mean, np.median])
    def test_equals_scipy_draw_by_draw(self, statistic, monkeypatch):
        monkeypatch.setattr(intervals, "_MAX_RESAMPLED", 2000)  # in blocks
        values = np.random.default_rng(0).normal(size=60)
        expected = scipy.stats.bootstrap(
            (values,),
            statistic,
            n_resamples=500,
            confidence_level=0.9,
            method="percentile",
            rng=np.random.default_rng(3),
        ).confidence_interval
        interval = intervals.bootstrap_interval(
            values,
            rng=np.random.default_rng(3),
            statistic=statistic,
            num_resamples=500,
            confidence=0.9,
        )
        np.testing.assert_allclose(interval, expected, rtol=0, atol=1e-9)

    def test_of_an_accuracy_is_that_of_the_normal_approximation(self):
        values = np.arange(2000) < 1800
        low, high = intervals.bootstrap_interval(values, rng=np.random.default_rng(0))
        half_width = 1.96 * np.sqrt(0.9 * 0.1 / 2000)
        assert low == pytest.approx(0.9 - half_width, abs=0.002)
        assert high == pytest.approx(0.9 + half_width, abs=0.002)

    def test_of_one_example_is_that_example(self):
        assert intervals.bootstrap_interval([0.3], rng=np.random.default_rng(0)) == (
            0.3,
            0.3,
        )

    def test_of_rows_resamples_whole_rows(self):
        values = np.random.default_rng(0).normal(size=(60, 1))

        def mean(rows, axis):
            return rows[..., 0].mean(axis=axis)

        alone, in_rows = (
            intervals.bootstrap_interval(
                drawn, rng=np.random.default_rng(1), statistic=statistic
            )
            for drawn, statistic in ((values[:, 0], np.mean), (values, mean))
        )
        assert alone == in_rows

    def test_without_examples_is_refused(self):
        with pytest.raises(errors.UsageError, match="at least one example"):
            intervals.bootstrap_interval(np.zeros(0), rng=np.random.default_rng(0))


class TestProportionInterval:
    @pytest.mark.parametrize(("right", "total"), [(0, 10), (7, 10), (599, 600), (3, 3)])
    def test_equals_scipy(self, right, total):
        expected = scipy.stats.binomtest(right, total).proportion_ci(method="wilson")
        found = intervals.proportion_interval(right / total, total)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)

    def test_of_what_is_known_exactly_is_a_point(self):
        assert intervals.proportion_interval(0.03, np.inf) == (0.03, 0.03)

    @pytest.mark.parametrize(("share", "total"), [(1.5, 10), (0.5, 0)])
    def test_refuses_what_is_no_share_of_examples(self, share, total):
        with pytest.raises(errors.UsageError, match=r"`share` must lie in \[0, 1\]"):
            intervals.proportion_interval(share, total)


class TestDifferenceInterval:
    def test_equals_the_paper(self):
        # Newcombe 1998, table II, (a) and (b), method 10.
        found = intervals.difference_interval((56 / 70, 70), (48 / 80, 80))
        assert found == pytest.approx((0.0524, 0.3339), abs=5e-5)
        found = intervals.difference_interval((9 / 10, 10), (3 / 10, 10))
        assert found == pytest.approx((0.1705, 0.8090), abs=5e-5)

    def test_from_a_known_share_is_the_interval_of_the_other(self):
        low, high = intervals.proportion_interval(0.2, 50)
        found = intervals.difference_interval((0.2, 50), (0.05, np.inf))
        assert found == pytest.approx((low - 0.05, high - 0.05))

    def test_turns_round_with_its_arguments(self):
        one, other = (0.3, 40), (0.1, 90)
        low, high = intervals.difference_interval(one, other)
        assert intervals.difference_interval(other, one) == pytest.approx((-high, -low))
