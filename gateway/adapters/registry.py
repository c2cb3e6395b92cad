"""The foreign formats and their addresses."""

from __future__ import annotations

from gateway.adapters.ga4 import DATALAYER, MEASUREMENT_PROTOCOL
from gateway.adapters.message import Adapter
from gateway.adapters.retail import RETAIL
from gateway.adapters.segment import SEGMENT
from gateway.adapters.snowplow import SNOWPLOW

ADAPTERS: tuple[Adapter, ...] = (DATALAYER, MEASUREMENT_PROTOCOL, SEGMENT, SNOWPLOW, RETAIL)
