"""`python -m gateway`: the gateway process."""

from __future__ import annotations

import logging
import socket
import sys

import uvicorn

from contracts.errors import ConfigurationError
from contracts.settings import Settings
from gateway.app import create_app
from gateway.services import Services
from monitoring.logs import configure

_LOG = logging.getLogger(__name__)
_GRACE_SECONDS = 3
_KEEP_ALIVE_SECONDS = 65


class Server(uvicorn.Server):
    """Uvicorn that ends the open page streams before it waits for connections to close."""

    def __init__(self, config: uvicorn.Config, services: Services) -> None:
        super().__init__(config)
        self._services = services

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then as uvicorn does."""
        self._services.pages.close()
        await super().shutdown(sockets)


def main() -> int:
    """Serve until a signal; 2 when the gateway is configured wrongly."""
    configure("gateway")
    try:
        settings = Settings()
        app = create_app(settings)
    except ConfigurationError as error:
        sys.stderr.write(f"vitrine gateway: {error}\n")
        return 2
    config = uvicorn.Config(
        app,
        host=settings.gateway.host,
        port=settings.gateway.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,  # addresses hold visitor ids and browser keys
        log_config=None,
        server_header=False,
        proxy_headers=False,  # nothing here asks for the client's address
        timeout_graceful_shutdown=_GRACE_SECONDS,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )
    _LOG.info("the gateway listens", extra={"host": settings.gateway.host, "port": settings.gateway.port})
    Server(config, app.state.services).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
