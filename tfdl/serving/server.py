"""The HTTP server: from a socket to `rest`, and back, until a signal comes.

The event loop reads bodies and counts them; parsing, running and writing happen in a
worker thread, so that it goes on answering others.
"""

import asyncio
import functools
import gc
import logging
import os
import signal
import socket
from collections.abc import Callable

import anyio
import uvicorn
from starlette import applications, requests, responses, routing

from tfdl import errors
from tfdl.serving import catalog, failures, rest

_LOGGER = logging.getLogger(__name__)
_GRACE_SECONDS = 30  # TensorFlow Serving's longest request
_BACKLOG = 2048
_NOT_FOUND = "<html><body><h1>404 Not Found</h1></body></html>"


def default_threads() -> int:
    """Count the worker threads that keep this machine busy.

    One run of a graph spreads over all cores by itself. A few threads more than one let
    a request be parsed while another runs; many would only divide the caches.
    """
    return max(2, len(os.sched_getaffinity(0)))


def build_app(
    models: catalog.Catalog,
    *,
    max_body_bytes: int,
    max_pixels: int,
    num_threads: int,
    debug: bool = False,
) -> applications.Starlette:
    """Build the ASGI application.

    Args:
        models: what is served.
        max_body_bytes: largest body of a request; a larger one is 413.
        max_pixels: most pixels of a picture among the inputs.
        num_threads: requests that are answered at the same time.
        debug: whether a failure's traceback is logged and its message left as it is.

    Returns:
        An application with TensorFlow Serving's paths, /healthz and /readyz.
    """
    limiter = anyio.CapacityLimiter(num_threads)
    respond = functools.partial(rest.respond, models=models, max_pixels=max_pixels)

    async def healthz(request: requests.Request) -> responses.Response:
        return responses.PlainTextResponse("ok")

    async def readyz(request: requests.Request) -> responses.Response:
        if models.is_ready:
            return responses.PlainTextResponse("ready")
        return responses.PlainTextResponse("not ready", 503)

    async def protocol(scope, receive, send) -> None:
        request = requests.Request(scope, receive)
        path = scope["raw_path"].decode("latin-1")
        if not rest.is_rest(path):
            response = responses.HTMLResponse(_NOT_FOUND, 404)
            return await response(scope, receive, send)
        try:
            target = rest.parse(request.method, path)
            body = await _read(request, max_body_bytes) if target.has_body else b""
            text = await anyio.to_thread.run_sync(
                respond, target, body, limiter=limiter
            )
            response = responses.Response(text, media_type="application/json")
        except requests.ClientDisconnect:
            return None
        except Exception as error:
            response = _report(error, debug)
        return await response(scope, receive, send)

    app = applications.Starlette(
        routes=[routing.Route("/healthz", healthz), routing.Route("/readyz", readyz)]
    )
    app.router.default = protocol  # its paths have their own grammar and no methods
    return app


def listen(host: str, port: int) -> socket.socket:
    """Open the port that requests will come to.

    Args:
        host: name or address of this machine to listen on.
        port: a number, or 0 for any that is free.

    Returns:
        A listening socket.

    Raises:
        ResourceError: it is in use, not allowed or not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise errors.ResourceError(
            f"--rest_api_port {port} of --host {host} cannot be used: {error.strerror}",
            "name another port, or 0 for any that is free",
        ) from error
    # Its connections inherit this. asyncio sets it only where the protocol is spelled
    # out, and without it an answer waits 40 ms for the acknowledgement of its header.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def address(listening: socket.socket) -> str:
    """Return the URL of a listening socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(
    app: applications.Starlette, listening: socket.socket, *, ready: Callable[[], None]
) -> None:
    """Answer requests until SIGTERM or Ctrl-C; then finish those that are running.

    Args:
        app: see `build_app`.
        listening: see `listen`; it is closed in the end.
        ready: called once when requests are answered.
    """
    # What is loaded stays: the collector would walk through it at every large body
    # (300,000 small lists are parsed in 0.02 s instead of 0.3).
    gc.collect()
    gc.freeze()
    # Uvicorn raises the signal again when it has finished: SIGTERM is a good end.
    signal.signal(signal.SIGTERM, lambda *_: None)
    with listening:
        asyncio.run(Server(app, ready=ready).serve(sockets=[listening]))


class Server(uvicorn.Server):
    """Uvicorn without a log of requests, which says when it is ready."""

    def __init__(self, app: applications.Starlette, *, ready: Callable[[], None]):
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        await super().startup(sockets)
        self._ready()


async def _read(request: requests.Request, limit: int) -> bytes:
    """Read a body, and no more of it than the limit, whatever its header promises."""
    too_large = failures.Failure(
        "TOO_LARGE", f"The body of the request is larger than {limit} bytes"
    )
    promised = request.headers.get("content-length", "")
    if promised.isdecimal() and int(promised) > limit:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large
    return bytes(body)


def _report(error: Exception, debug: bool) -> responses.Response:
    failure = failures.explain(error)
    if debug:
        _LOGGER.error("a request failed", exc_info=error)
        failure = failures.Failure(failure.code, f"{type(error).__name__}: {error}")
    elif failure.code == "INTERNAL" and not isinstance(error, failures.Failure):
        _LOGGER.error("%s, see --debug", failure)
    text = rest.error_text(failure)
    return responses.Response(text, failure.status, media_type="application/json")
