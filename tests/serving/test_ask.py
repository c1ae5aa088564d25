import subprocess
import sys

import PIL.Image
import pytest

from tfdl import errors
from tfdl.serving import ask


@pytest.fixture
def white(tmp_path):
    path = tmp_path / "white.png"
    PIL.Image.new("RGB", (4, 4), (255, 255, 255)).save(path)
    return path


@pytest.fixture
def url(port):
    return f"http://127.0.0.1:{port}"


def test_every_picture_has_its_answer(url, white, tmp_path):
    PIL.Image.new("RGB", (4, 4)).save(tmp_path / "black.png")
    pictures = [white, tmp_path / "black.png"]
    assert ask.ask(url, "pictures", pictures=pictures) == [1.0, 0.0]


def test_it_is_a_command_without_tensorflow(url, white):
    command = [sys.executable, "-X", "importtime", "-m", "tfdl.serving.ask"]
    done = subprocess.run(
        [*command, url, "pictures", white], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{white}: 1.0\n"
    assert "tensorflow" not in done.stderr


def test_what_goes_wrong_is_two_lines(url, white):
    command = [sys.executable, "-m", "tfdl.serving.ask", url, "foo", str(white)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    assert "Latest(foo)" in done.stderr.splitlines()[0]
    assert done.stderr.splitlines()[1].startswith("remedy: ")


def test_what_the_server_says_is_shown(url, tmp_path):
    (tmp_path / "text").write_text("no picture")
    with pytest.raises(errors.DataError, match="400: .*not a JPEG, PNG"):
        ask.ask(url, "pictures", pictures=[tmp_path / "text"])


def test_no_server_is_a_network_error(white):
    with pytest.raises(errors.NetworkError, match="does not answer"):
        ask.ask("http://127.0.0.1:1", "m", pictures=[white])


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(errors.DataError, match="none.png"):
        ask.ask("http://127.0.0.1:1", "m", pictures=[tmp_path / "none.png"])


def test_long_lists_are_shown_by_their_beginning():
    answer = {"scores": list(range(7)), "boxes": [[0, 1, 2, 3]] * 2, "label": "cat"}
    assert ask.shortened(answer) == {
        "scores": [0, 1, 2, 3, 4, "... and 2 more"],
        "boxes": [[0, 1, 2, 3]] * 2,
        "label": "cat",
    }
