import asyncio
import base64
import contextlib
import gc
import http.client
import io
import json
import socket
import statistics
import threading
import time

import PIL.Image
import pytest

from tfdl import errors
from tfdl.serving import catalog, server

HALF = "/v1/models/half_plus_two:predict"
LIMIT = 1 << 20


def exchange(port, *pieces, wait=5.0):
    """Send pieces of bytes as they are, as long as that works -> what comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for piece in pieces:
                connection.sendall(piece)
        received = b""
        while b"\r\n\r\n" not in received or b"}" not in received:
            chunk = connection.recv(65536)
            if not chunk:
                break
            received += chunk
    return received.decode()


def head(*lines):
    return "\r\n".join([f"POST {HALF} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


def build(models, **changes):
    options = {"max_body_bytes": LIMIT, "max_pixels": 1000, "num_threads": 1}
    return server.build_app(models, **(options | changes))


def test_it_is_alive_and_ready(send):
    for path in ("/healthz", "/readyz"):
        assert send("GET", path).status == 200


def test_it_is_not_ready_before_its_models_are(send, run_server):
    with run_server(build(catalog.Catalog(["m"]))) as (_, port):
        assert send("GET", "/readyz", port=port).status == 503
        assert send("GET", "/healthz", port=port).status == 200
        path = "/v1/models/m:predict"
        assert send("POST", path, {"inputs": 1}, port=port).status == 404


def test_a_promised_large_body_is_refused_before_it_is_sent(port):
    answer = exchange(port, head(f"Content-Length: {LIMIT + 1}"))
    assert answer.startswith("HTTP/1.1 413")
    assert '{"error": "The body of the request is larger than' in answer


def test_a_body_of_unknown_length_is_counted(port):
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    answer = exchange(port, head("Transfer-Encoding: chunked"), *[chunk] * 20)
    assert answer.startswith("HTTP/1.1 413")


def test_a_body_of_unknown_length_below_the_limit_is_answered(port):
    chunks = b'e\r\n{"inputs": 1.0\r\n1\r\n}\r\n0\r\n\r\n'
    answer = exchange(port, head("Transfer-Encoding: chunked"), chunks)
    assert answer.startswith("HTTP/1.1 200")
    assert answer.endswith('{"outputs": 2.5}')


def test_a_body_longer_than_promised_ends_where_it_promised_to(port):
    answer = exchange(port, head("Content-Length: 15"), b'{"inputs": 1.0}' + b"x" * 99)
    assert answer.startswith("HTTP/1.1 200")


def test_a_body_shorter_than_promised_disturbs_nobody(port, send, caplog):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(head("Content-Length: 100") + b'{"inp')
    time.sleep(0.2)
    assert send("GET", "/healthz").status == 200
    assert not caplog.records


def test_a_body_at_the_limit_is_answered(predict):
    body = b'{"inputs": 1.0}'
    assert predict("half_plus_two", body + b" " * (LIMIT - len(body))).status == 200
    assert predict("half_plus_two", b" " * (LIMIT + 1)).status == 413


@pytest.fixture(scope="module")
def settled():
    """Take what is loaded out of the collector's sight, as `run` does."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize(
    "body",
    [
        *(b"[" * 100_000, b'{"inputs":' + b"[" * 100_000, b'{"a":' * 100_000),
        *(b'{"inputs": ' + b"[" * 900 + b"]" * 900 + b"}", b'{"inputs": "\xff"}'),
        *(b'{"inputs": ' + b"1" * 5000 + b"}", b'{"\\ud800": 1}'),
        b'{"instances": [' + b"[" * 900 + b'"x"' + b"]" * 900 + b", 1]}",
        b'{"instances": ["' + b"x" * 1_000_000 + b'"]}',
        b'{"inputs": [' + b"[]," * 300_000 + b"1]}",
        b'{"signature_name": "\\ud800", "inputs": 1}',
    ],
)
def test_a_hostile_body_is_refused_within_a_second(predict, settled, body):
    start = time.perf_counter()
    answer = predict("half_plus_two", body)
    assert answer.status == 400
    assert time.perf_counter() - start < 1
    assert len(answer.error) < 600


def png(side):
    file = io.BytesIO()
    PIL.Image.new("1", (side, side)).save(file, "PNG")
    return {"b64": base64.b64encode(file.getvalue()).decode()}


def test_a_picture_that_is_too_large_or_broken_is_400(predict):
    assert predict("pictures", {"instances": [png(8)]}).status == 200
    large = predict("pictures", {"instances": [png(1001)]})
    assert large.status == 400
    assert "1002001 pixels or more, at most 1000000" in large.error
    broken = {"b64": png(8)["b64"][:60]}
    assert predict("pictures", {"instances": [broken]}).status == 400
    assert predict("pictures", {"instances": ["text"]}).status == 400
    assert predict("pictures", {"instances": [png(8)]}).status == 200


def test_what_the_graph_refuses_is_400_and_the_server_lives(predict):
    answer = predict("kinds", {"signature_name": "check", "instances": [-1.0]})
    assert answer.status == 400
    assert "too low" in answer.error
    assert predict("two_inputs", {"inputs": {"a": [1.0], "b": [1]}}).status == 400


def test_an_error_names_no_file_and_no_line(predict):
    answer = predict("kinds", {"signature_name": "read_file", "instances": [1.0]})
    assert answer.status == 404
    assert "/nowhere" not in answer.text
    assert "Traceback" not in answer.text
    assert "node" not in answer.text


class BrokenCatalog(catalog.Catalog):
    def find(self, name, **which):
        raise ZeroDivisionError("/secret/path.py")


def test_a_bug_is_500_and_shows_no_more_than_its_class(send, run_server, caplog):
    with run_server(build(BrokenCatalog([]))) as (_, port):
        answer = send("POST", HALF, {"inputs": 1}, port=port)
    assert (answer.status, answer.error) == (500, "Internal error: ZeroDivisionError")
    assert [record.exc_info for record in caplog.records] == [None]


def test_debug_shows_the_reason_and_logs_the_traceback(send, run_server, caplog):
    with run_server(build(BrokenCatalog([]), debug=True)) as (_, port):
        answer = send("POST", HALF, {"inputs": 1}, port=port)
    assert answer.error == "ZeroDivisionError: /secret/path.py"
    assert caplog.records[0].exc_info[0] is ZeroDivisionError


def test_requests_are_not_logged(predict, capfd):
    predict("half_plus_two", {"inputs": 1})
    predict("half_plus_two", b"")
    assert capfd.readouterr() == ("", "")


class SlowCatalog(catalog.Catalog):
    """Answers when it is told to."""

    def __init__(self):
        super().__init__([])
        self.is_asked, self.may_answer = threading.Event(), threading.Event()

    def statuses(self, name, **which):
        self.is_asked.set()
        assert self.may_answer.wait(20)
        return []


def ask_later(send, port):
    """Send a request from another thread -> (the thread, the list for its answer)."""
    answers = []

    def ask():
        answers.append(send("GET", "/v1/models/m", port=port))

    thread = threading.Thread(target=ask)
    thread.start()
    return thread, answers


def test_it_answers_others_while_a_request_runs(send, run_server):
    models = SlowCatalog()
    with run_server(build(models)) as (_, port):
        thread, answers = ask_later(send, port)
        assert models.is_asked.wait(10)
        start = time.perf_counter()
        assert send("GET", "/healthz", port=port).status == 200
        assert time.perf_counter() - start < 0.5
        models.may_answer.set()
        thread.join(10)
    assert answers[0].status == 200


def test_it_ends_when_running_requests_are_answered(send, run_server):
    models = SlowCatalog()
    with run_server(build(models)) as (running, port):
        thread, answers = ask_later(send, port)
        assert models.is_asked.wait(10)
        running.should_exit = True
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and not _is_refused(port):
            time.sleep(0.05)
        assert _is_refused(port)
        models.may_answer.set()
        thread.join(10)
    assert answers[0].status == 200


def _is_refused(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=0.5)
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/healthz")
            connection.getresponse().read()
        except OSError:
            return True
    return False


def test_a_connection_serves_several_requests(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        for value in range(3):
            connection.request("POST", HALF, json.dumps({"inputs": value}))
            answer = json.loads(connection.getresponse().read())
            assert answer == {"outputs": 0.5 * value + 2}


def test_an_answer_does_not_wait_for_acknowledgements(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    durations = []
    with contextlib.closing(connection):
        for _ in range(15):
            start = time.perf_counter()
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            durations.append(time.perf_counter() - start)
    assert statistics.median(durations) < 0.03


def test_a_port_in_use_is_an_error():
    with server.listen("127.0.0.1", 0) as listening:
        taken = listening.getsockname()[1]
        with pytest.raises(errors.ResourceError, match=f"--rest_api_port {taken} "):
            server.listen("127.0.0.1", taken)


def test_a_host_that_is_not_here_is_an_error():
    with pytest.raises(errors.ResourceError, match="--host 192.0.2.1 cannot be used"):
        server.listen("192.0.2.1", 0)


def test_the_address_is_a_url():
    with server.listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        assert server.address(listening) == f"http://127.0.0.1:{port}"


def test_there_are_at_least_two_threads():
    assert server.default_threads() >= 2


def test_ready_is_said_when_it_is(models):
    said = []
    with server.listen("127.0.0.1", 0) as listening:
        running = server.Server(build(models), ready=lambda: said.append(True))
        running.should_exit = True
        asyncio.run(running.serve(sockets=[listening]))
    assert said == [True]
