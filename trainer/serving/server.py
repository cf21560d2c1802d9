"""From a model to a server that answers: the address is bound first, so that what is wrong with it is one line."""

from __future__ import annotations

import logging
import os
import socket
from dataclasses import replace

from schemas.errors import SettingsError
from trainer.generation.opening import mixing_mode, opening
from trainer.serving.engine import Engine
from trainer.serving.settings import ServeSettings
from trainer.training.device import training_device
from trainer.training.load_model import load_model

BACKLOG = 2048
"""Connections that the kernel keeps until they are accepted."""

logger = logging.getLogger(__name__)


def bind(settings: ServeSettings) -> socket.socket:
    """A socket at the address; SettingsError where that is impossible."""
    try:
        (family, kind, _, _, address), *_ = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        bound = socket.socket(family, kind)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        raise SettingsError(
            f"{settings.host}:{settings.port} cannot be listened at ({error.strerror}); give another --port or --host"
        ) from error
    return bound


def serve(settings: ServeSettings) -> None:
    """Answer until a signal comes; SettingsError or ArtifactError where it cannot begin."""
    try:
        import uvicorn

        from trainer.serving.app import make_app
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"a server needs {error.name}, which is not installed; `make serve` installs it, as does "
            "`pip install starlette uvicorn pydantic`"
        ) from error

    settings = replace(settings, name=settings.name or os.path.basename(os.path.abspath(settings.model)))
    with bind(settings) as bound:
        model, run = load_model(settings.model, device=training_device(settings.device))
        capacity = settings.max_prompt_bytes + settings.max_bytes
        engine = Engine(
            model, rows=settings.rows, waiting=settings.waiting, capacity=capacity, opening=opening(mixing_mode(run))
        )
        bound.listen(BACKLOG)  # from here on, who connects is answered
        host, port = bound.getsockname()[:2]
        place = f"[{host}]" if ":" in host else host
        logger.info("%s at http://%s:%d/v1, %d continuations at once", settings.name, place, port, settings.rows)
        app = make_app(engine, settings)
        config = uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=10, server_header=False)
        uvicorn.Server(config).run(sockets=[bound])
