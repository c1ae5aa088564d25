import numpy as np
import pytest
import tensorflow as tf

from tfdl.data.sources import tabulated


@pytest.fixture
def table(tmp_path):
    """Return a function that tabulates numbers, and says whether it had to."""

    def make(count, key):
        looked = []

        def rows():
            for number in range(count):
                looked.append(number)
                yield {"square": number**2, "pair": [number, -number]}

        signature = {
            "square": tf.TensorSpec([], tf.int64),
            "pair": tf.TensorSpec([2], tf.int32),
        }

        def dataset():
            return tf.data.Dataset.from_generator(rows, output_signature=signature)

        memory = tmp_path / "new" / "table.npz"
        return tabulated.table(dataset, memory=memory, key=key), len(looked)

    return make


def test_rows_are_computed_once_for_each_key(table):
    first, looked = table(3, "a")
    assert looked == 3
    assert first["square"].tolist() == [0, 1, 4]
    assert first["pair"].tolist() == [[0, 0], [1, -1], [2, -2]]
    again, looked = table(3, "a")
    assert looked == 0
    assert again.keys() == first.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(again[name], values)
        assert again[name].dtype == values.dtype
    other, looked = table(4, "b")
    assert looked == len(other["square"]) == 4


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"nothing"])
def test_a_damaged_memory_is_written_anew(table, tmp_path, content):
    table(2, "a")
    [memory] = (tmp_path / "new").iterdir()
    memory.write_bytes(content)
    assert table(2, "a")[1] == 2
    assert table(2, "a")[1] == 0


def test_a_memory_cut_short_is_written_anew(table, tmp_path):
    table(2, "a")
    [memory] = (tmp_path / "new").iterdir()
    memory.write_bytes(memory.read_bytes()[:-40])
    assert table(2, "a")[0]["square"].tolist() == [0, 1]
