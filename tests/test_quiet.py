import subprocess
import sys

PROGRAM = """
import os, sys
import tfdl.quiet
import tensorflow as tf
print("out", os.environ["TF_CPP_MIN_LOG_LEVEL"], tf.constant(1).numpy(), flush=True)
print("python's stderr", file=sys.stderr, flush=True)
os.write(2, b"the descriptor\\n")
"""


def run(program, **environment):
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )


def test_tensorflow_starts_without_a_word_and_later_errors_are_heard():
    said = run(PROGRAM)
    assert said.returncode == 0
    assert said.stdout == "out 2 1\n"
    assert said.stderr == "python's stderr\nthe descriptor\n"


def test_an_import_that_fails_says_so():
    said = run("import sys; sys.modules['tensorflow'] = None; import tfdl.quiet")
    assert said.returncode == 1
    assert "tensorflow" in said.stderr.splitlines()[-1]
