"""`python -m streams`: the worker process; `VITRINE_WORKER__ROLE` chooses events or catalog."""

from __future__ import annotations

import sys

from contracts.errors import ConfigurationError
from contracts.settings import Settings
from monitoring.logs import configure


def main() -> int:
    """Run the worker until a signal; 2 when it is configured wrongly."""
    configure("worker")
    try:
        from streams.run import run  # noqa: PLC0415 - logging must be configured before Faust is imported

        run(Settings())
    except ConfigurationError as error:
        sys.stderr.write(f"vitrine worker: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
