"""`python -m stack`: the supervisor in the foreground; `vitrine up` runs it in the background."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # children exec at once; gRPC, imported below, need not prepare for a fork

from contracts.errors import ConfigurationError, VitrineError
from contracts.settings import Settings
from monitoring.logs import configure
from stack.supervisor import supervise


def main() -> int:
    """Run until a signal; 2 when it is configured wrongly, 1 when something could not be started."""
    configure("supervisor")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for every health check otherwise
    try:
        asyncio.run(supervise(Settings()))
    except VitrineError as error:
        sys.stderr.write(f"vitrine: {error}\n")
        return 2 if isinstance(error, ConfigurationError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
