"""Models like those of TensorFlow Serving's own tests, and a server in this process."""

import asyncio
import contextlib
import http.client
import json
import threading

import pytest
import tensorflow as tf

from tfdl.serving import catalog, servable, server

MAX_BODY_BYTES = 1 << 20
MAX_PIXELS = 1_000_000


def signature(**shapes_and_types):
    """Decorate a function as a signature; the keywords are (shape, dtype)."""
    specs = [
        tf.TensorSpec(shape, dtype, name=name)
        for name, (shape, dtype) in shapes_and_types.items()
    ]
    return tf.function(input_signature=specs)


def half_plus_two():
    module = tf.Module()
    module.half = tf.Variable(0.5)

    @signature(x=(None, tf.float32))
    def plus_two(x):
        return {"y": module.half * x + 2.0}

    return module, {"serving_default": plus_two}


def two_inputs():
    @signature(b=([None], tf.float32), a=([None, 2], tf.float32))
    def combine(b, a):
        return {"sum": b + a[:, 0], "pair": a * 2.0}

    return tf.Module(), {"serving_default": combine}


def words():
    text = ([None], tf.string)

    @signature(text=text)
    def echo(text):
        return {"echo": text}

    @signature(text=text)
    def encoded(text):
        return {"echo_bytes": text}

    @signature(text=text)
    def both(text):
        return {"echo": text, "echo_bytes": text}

    @signature(text=([], tf.string))
    def scalar(text):
        return {"echo": text}

    signatures = {"serving_default": echo, "encoded": encoded}
    return tf.Module(), signatures | {"both": both, "scalar": scalar}


def kinds():
    """A signature for each type that gives its input back, and some strange ones."""
    signatures = {}
    types = (
        tf.float32,
        tf.int32,
        tf.int64,
        tf.uint8,
        tf.bool,
        tf.float64,
        tf.float16,
        tf.uint64,
    )
    for dtype in types:

        @signature(x=([None], dtype))
        def same(x):
            return {"x": tf.identity(x)}

        signatures[dtype.name] = same

    @signature(x=([None], tf.float32))
    def shapeless(x):
        return {"total": tf.reduce_sum(x)}

    @signature(x=([None], tf.float32))
    def uneven(x):
        return {"some": x[:1], "total": x}

    @signature(x=([None], tf.float32))
    def halves(x):
        return {"x": tf.cast(x, tf.float16)}

    @signature(x=([None], tf.float32))
    def check(x):
        with tf.control_dependencies([tf.debugging.assert_positive(x, "too low")]):
            return {"x": tf.identity(x)}

    @signature(x=([None], tf.float32))
    def read_file(x):
        contents = tf.io.read_file(tf.strings.format("/nowhere/secret/{}.txt", x))
        return {"x": contents[tf.newaxis]}

    @signature(steps=([None], tf.int32))
    def slow(steps):
        value = tf.constant(0)
        for _ in tf.range(steps[0]):
            value = (value + 1) % 7
        return {"steps": steps}

    odd = (shapeless, uneven, halves, check, read_file, slow)
    names = ("shapeless", "uneven", "halves", "check", "read_file", "slow")
    return tf.Module(), signatures | dict(zip(names, odd, strict=True))


def pictures():
    def describe(content):
        image = tf.io.decode_image(content, channels=3, expand_animations=False)
        return tf.reduce_mean(tf.cast(image, tf.float32)) / 255.0

    @signature(image_bytes=([None], tf.string))
    def brightness(image_bytes):
        means = tf.map_fn(describe, image_bytes, fn_output_signature=tf.float32)
        return {"brightness": means}

    return tf.Module(), {"serving_default": brightness}


MODELS = {
    "half_plus_two": (123, half_plus_two),
    "two_inputs": (1, two_inputs),
    "words": (1, words),
    "kinds": (1, kinds),
    "pictures": (2, pictures),
}


@pytest.fixture(scope="session")
def bases(tmp_path_factory):
    """Write every model as a SavedModel -> the folder of their folders."""
    folder = tmp_path_factory.mktemp("savedmodels")
    for name, (version, build) in MODELS.items():
        module, signatures = build()
        module.functions = signatures
        path = str(folder / name / str(version))
        tf.saved_model.save(module, path, signatures=signatures)
    return folder


@pytest.fixture(scope="session")
def loaded(bases):
    """Load every model -> {name: servable}."""
    return {
        name: servable.load(bases / name / str(number), name=name, version=number)
        for name, (number, _) in MODELS.items()
    }


@pytest.fixture(scope="session")
def models(loaded):
    """Return a catalog of every model, and of one that failed besides."""
    served = catalog.Catalog(loaded)
    for name, version in loaded.items():
        state = catalog.Version("AVAILABLE", version)
        served.set(name, version.version, state)
    failed = catalog.Version("END", None, "DATA_LOSS", "checksum does not match")
    served.set("pictures", 3, failed)
    return served


@contextlib.contextmanager
def running(app):
    """Run an application on a free port -> (the server, its port)."""
    listening, is_ready = server.listen("127.0.0.1", 0), threading.Event()
    running = server.Server(app, ready=is_ready.set)
    running.config.timeout_graceful_shutdown = 2  # some tests leave requests unfinished
    # As a daemon: a request that a test left hanging must not keep pytest.
    thread = threading.Thread(
        target=lambda: asyncio.run(running.serve(sockets=[listening])), daemon=True
    )
    with listening:
        thread.start()
        assert is_ready.wait(20)
        try:
            yield running, listening.getsockname()[1]
        finally:
            running.should_exit = True
            thread.join(10)


@pytest.fixture(scope="session")
def run_server():
    return running


@pytest.fixture(scope="session")
def port(models):
    """Serve every model -> the port."""
    app = server.build_app(
        models, max_body_bytes=MAX_BODY_BYTES, max_pixels=MAX_PIXELS, num_threads=4
    )
    with running(app) as (_, number):
        yield number


class Answer:
    """What a request got."""

    def __init__(self, status: int, kind: str, text: bytes):
        self.status, self.kind, self.text = status, kind, text.decode()

    @property
    def json(self):
        return json.loads(self.text)

    @property
    def error(self) -> str:
        assert self.kind == "application/json"
        assert set(self.json) == {"error"}
        return self.json["error"]


@pytest.fixture(scope="session")
def send(port):
    """Send (method, path, body as bytes or as what JSON has) -> Answer."""

    def send(method, path, body=None, port=port):
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body)
            response = connection.getresponse()
            kind = response.headers["content-type"]
            return Answer(response.status, kind, response.read())

    return send


@pytest.fixture(scope="session")
def predict(send):
    """Send (model, body) as a predict request -> Answer."""
    return lambda model, body: send("POST", f"/v1/models/{model}:predict", body)
