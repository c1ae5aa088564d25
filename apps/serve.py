"""Serve a SavedModel over HTTP as TensorFlow Serving does, to its clients.

    python apps/serve.py --model_base_path savedmodels/demo --model_name demo
    python -m tfdl.serving.ask http://127.0.0.1:8501 demo PICTURE

POST /v1/models/NAME:predict, GET /v1/models/NAME[/metadata], /healthz, /readyz. SIGTERM
finishes what is running and exits with 0. A SavedModel is a program: trust it first.
"""

import ipaddress
import pathlib
import sys
import urllib.parse
from dataclasses import dataclass, field

import tfdl.quiet  # noqa: F401  # isort: skip

from tfdl import errors
from tfdl.serving import catalog, predict, servable, server
from tfdl.training import cli, flags

_LARGEST_PORT = 65535


@dataclass(frozen=True)
class Config:
    """Serve the newest version of a SavedModel, as TensorFlow Serving does."""

    model_base_path: pathlib.Path
    """Folder of the versions, savedmodels/NAME."""
    model_name: str = "default"
    """What clients call the model."""
    rest_api_port: int = 8501
    """Port for HTTP; 0 takes one that is free."""
    rest_api_num_threads: int = field(default_factory=server.default_threads)
    """Requests that are answered at the same time."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 lets other machines in."""
    max_body_mb: int = 64
    """Largest body of a request, in MB; a larger one is refused with 413."""
    max_pixels: int = 50_000_000
    """Most pixels of a picture, counted before it is decoded."""
    debug: bool = False
    """Show tracebacks."""

    def __post_init__(self):
        flags.at_least("--rest_api_port", self.rest_api_port, 0)
        flags.at_least("--rest_api_num_threads", self.rest_api_num_threads, 1)
        flags.at_least("--max_body_mb", self.max_body_mb, 1)
        flags.at_least("--max_pixels", self.max_pixels, 1)
        if self.rest_api_port > _LARGEST_PORT:
            raise errors.UsageError(
                f"--rest_api_port must be at most {_LARGEST_PORT}. Received "
                f"{self.rest_api_port}",
                "8501 is usual",
            )


def serve(config: Config) -> None:
    """Load the model, then answer until a signal comes."""
    base, name = config.model_base_path, config.model_name
    version, folder = servable.newest_version(base, name=name)
    loaded = servable.load(folder, name=name, version=version)
    models = catalog.Catalog([name])
    models.set(name, version, catalog.Version("AVAILABLE", loaded))
    app = server.build_app(
        models,
        max_body_bytes=config.max_body_mb << 20,
        max_pixels=config.max_pixels,
        num_threads=config.rest_api_num_threads,
        debug=config.debug,
    )
    listening = server.listen(config.host, config.rest_api_port)
    warn_of_strangers(listening.getsockname()[0])
    path = urllib.parse.quote(name, safe="")
    url = f"{server.address(listening)}/v1/models/{path}"
    line = f"serving {name} version {version} at {url} - try: {example(loaded, url)}"
    server.run(app, listening, ready=lambda: cli.say(line))


def example(loaded: servable.Servable, url: str) -> str:
    """Write a command for a shell that asks for something."""
    signature = loaded.signatures.get(servable.DEFAULT_SIGNATURE)
    if signature is None or list(signature.inputs) != [predict.PICTURES]:
        return f"curl {url}/metadata"
    instance = '{\\"b64\\": \\"$(base64 < PICTURE | tr -d "\\n")\\"}'
    return f'echo "{{\\"instances\\": [{instance}]}}" | curl -s -d @- {url}:predict'


def warn_of_strangers(address: str) -> None:
    """Say that others can ask, where they can."""
    if not ipaddress.ip_address(address).is_loopback:
        text = f"--host {address}: whoever reaches this machine may ask, unencrypted"
        print(f"warning: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(cli.main_without_verbs(serve, Config))
