"""The foreign formats and their addresses."""

from __future__ import annotations

from gateway.adapters.message import Adapter

ADAPTERS: tuple[Adapter, ...] = ()
