"""The server as a process, asked by a client written from TensorFlow Serving's docs."""

import base64
import contextlib
import importlib.util
import io
import json
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfdl.export import freezing
from tfdl.serving import server
from tfdl.tasks.segmentation import postprocess, segmenter, unet
from tfdl.training import cli, inference

ROOT = pathlib.Path(__file__).parents[2]
APP = ROOT / "apps" / "serve.py"
LINE = re.compile(r"serving (.+) version (\d+) at (\S+) - try: (.*)\n")


class Client:
    """TensorFlow Serving's RESTful API, as its documentation describes it."""

    def __init__(self, url: str):
        self.url = url  # http://host:port/v1/models/NAME

    def predict(self, **body):
        return self._ask(":predict", json.dumps(body).encode())

    def status(self):
        return self._ask("")["model_version_status"]

    def metadata(self):
        return self._ask("/metadata")

    def _ask(self, path, body=None):
        request = urllib.request.Request(self.url + path, body)
        try:
            with urllib.request.urlopen(request, timeout=300) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                raise ValueError(f"{error.code} {json.load(error)['error']}") from None


def half_plus_two():
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def plus_two(x):
        return {"y": 0.5 * x + 2.0}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="steps")])
    def slow(steps):
        value = tf.constant(0)
        for _ in tf.range(steps[0]):
            value = (value + 1) % 7
        with tf.control_dependencies([value]):
            return {"steps": tf.identity(steps)}

    return {"serving_default": plus_two, "slow": slow}


def brightness():
    def describe(content):
        return tf.reduce_mean(tf.io.decode_image(content, dtype=tf.float32))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def serve(image_bytes):
        means = tf.map_fn(describe, image_bytes, fn_output_signature=tf.float32)
        return {"brightness": means}

    return {"serving_default": serve}


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("savedmodels")
    for build, version in ((half_plus_two, 7), (half_plus_two, 12), (brightness, 1)):
        module, signatures = tf.Module(), build()
        module.functions = signatures
        path = folder / build.__name__ / str(version)
        tf.saved_model.save(module, str(path), signatures=signatures)
    (folder / "half_plus_two" / ".tmp-13-1").mkdir()
    return folder


@contextlib.contextmanager
def started(*arguments):
    """Start the app -> (the process, what its line says)."""
    process = subprocess.Popen(
        [sys.executable, APP, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell lets what it starts in the background ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    with process:
        try:
            line = process.stdout.readline()
            assert LINE.fullmatch(line), line
            yield process, LINE.fullmatch(line)
        finally:
            process.kill()


def ended(process, with_signal=signal.SIGTERM):
    """Send a signal -> (exit code, the rest of stdout, stderr)."""
    process.send_signal(with_signal)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_a_client_of_tensorflow_serving_is_answered_until_sigterm(exports):
    base = exports / "half_plus_two"
    with started("--model_base_path", base, "--rest_api_port", 0) as (process, line):
        name, version, url, _ = line.groups()
        assert (name, version) == ("default", "12")
        client = Client(url)
        assert client.predict(instances=[1.0, 2.0]) == {"predictions": [2.5, 3.0]}
        assert client.predict(inputs={"x": [3.0]}) == {"outputs": [3.5]}
        assert [state["state"] for state in client.status()] == ["AVAILABLE"]
        definitions = client.metadata()["metadata"]["signature_def"]["signature_def"]
        assert definitions["serving_default"]["inputs"]["x"]["dtype"] == "DT_FLOAT"
        with pytest.raises(ValueError, match="400 Missing 'inputs' or 'instances' key"):
            client.predict(other=1)
        with pytest.raises(ValueError, match="404 Servable not found"):
            Client(url + "/versions/7").predict(instances=[1.0])

        # A request that runs when the signal comes is answered.
        answers = []
        steps = 100_000
        slow = threading.Thread(
            target=lambda: answers.append(
                client.predict(signature_name="slow", inputs=[steps])
            )
        )
        slow.start()
        time.sleep(0.3)
        assert slow.is_alive()
        assert ended(process) == (0, "", "")
        slow.join(30)
    assert answers == [{"outputs": [steps]}]


def test_the_command_of_its_line_can_be_pasted(exports, tmp_path):
    PIL.Image.new("RGB", (3, 3), (255, 255, 255)).save(tmp_path / "PICTURE", "PNG")
    base = exports / "brightness"
    options = ("--model_name=my model", "--rest_api_port=0")
    with started(f"--model_base_path={base}", *options) as (process, line):
        assert line[3].endswith("/v1/models/my%20model")
        done = subprocess.run(
            ["sh", "-c", line[4]], cwd=tmp_path, capture_output=True, timeout=60
        )
        if done.returncode == 127:
            pytest.skip("there is no curl")
        assert json.loads(done.stdout) == {"predictions": [1.0]}
        assert ended(process, signal.SIGINT)[0] == 130


@pytest.fixture(scope="module")
def run_app():
    """Import the script as a module -> a function that runs it in this process."""
    specification = importlib.util.spec_from_file_location("serve", APP)
    app = importlib.util.module_from_spec(specification)
    sys.modules["serve"] = app  # dataclasses look their module up
    specification.loader.exec_module(app)

    def run(*arguments):
        return cli.main_without_verbs(app.serve, app.Config, arguments=arguments)

    return run


@pytest.fixture
def taken_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


def test_what_cannot_be_served_is_two_lines_and_an_exit_code(
    run_app, exports, tmp_path, taken_port, capsys
):
    (tmp_path / "damaged" / "1").mkdir(parents=True)
    (tmp_path / "damaged" / "1" / "saved_model.pb").write_bytes(b"\xff" * 99)
    base = f"--model_base_path={exports / 'half_plus_two'}"
    cases = [
        ([], 2, "--model_base_path"),
        ([base, "--rest_api_prt", "1"], 2, "--rest_api_prt"),
        ([base, "--rest_api_port", "65536"], 2, "--rest_api_port must be at most"),
        ([base, "--max_body_mb", "0"], 2, "--max_body_mb must be at least 1"),
        ([f"--model_base_path={tmp_path / 'none'}"], 4, "is not a folder"),
        ([f"--model_base_path={tmp_path}"], 4, "No versions of servable default"),
        ([f"--model_base_path={tmp_path / 'damaged'}"], 4, "cannot be loaded"),
        ([base, f"--rest_api_port={taken_port}"], 6, f"--rest_api_port {taken_port}"),
        ([base, "--host=no.such.invalid"], 6, "--host no.such.invalid cannot be used"),
    ]
    for arguments, code, message in cases:
        assert run_app(*arguments) == code
        said = capsys.readouterr()
        error, remedy = said.err.splitlines()
        assert said.out == ""
        assert error.startswith("error: ")
        assert message in error
        assert remedy.startswith("remedy: ")


def test_it_listens_to_this_machine_alone_unless_told_otherwise(
    run_app, exports, capsys, monkeypatch
):
    closed = []
    monkeypatch.setattr(
        server, "run", lambda app, listening, *, ready: closed.append(listening.close())
    )
    base = f"--model_base_path={exports / 'half_plus_two'}"
    assert run_app(base, "--rest_api_port=0") == 0
    assert capsys.readouterr().err == ""
    assert run_app(base, "--rest_api_port=0", "--host=0.0.0.0") == 0
    assert capsys.readouterr().err.startswith("warning: --host 0.0.0.0: whoever")
    assert len(closed) == 2


@pytest.mark.slow
def test_twelve_megapixels_are_segmented_in_2_gibibytes(tmp_path):
    options = {"width": 0.25, "normalization": "batch"}
    network = segmenter.answering(unet.unet((None, None, 3), 5, **options))
    module = tf.Module()
    module.functions = postprocess.signatures(
        freezing.freeze(inference.compiled(network)),
        tiling=postprocess.Tiling(),
        num_classes=5,
    )
    saved = str(tmp_path / "unet" / "1")
    tf.saved_model.save(module, saved, signatures=dict(module.functions))
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    picture, written = PIL.Image.fromarray(noise).resize((4000, 3000)), io.BytesIO()
    picture.save(written, "JPEG")
    encoded = {"b64": base64.b64encode(written.getvalue()).decode()}

    flags = ("--model_base_path", tmp_path / "unet", "--rest_api_port", 0)
    with started(*flags) as (process, line):
        [found] = Client(line[3]).predict(instances=[encoded])["predictions"]
        peak = peak_kibibytes(process.pid)
        assert ended(process) == (0, "", "")
    with PIL.Image.open(io.BytesIO(base64.b64decode(found["b64"]))) as label_map:
        assert label_map.size == picture.size
        assert np.asarray(label_map).max() < 5
    assert peak < 2 << 20, f"{peak} KiB"


def peak_kibibytes(process: int) -> int:
    """Return the most memory that a process has had."""
    status = pathlib.Path(f"/proc/{process}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1])
