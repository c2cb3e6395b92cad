"""Settings as the environment of a child process, so that every process of one stack reads the same."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, SecretStr

from contracts.settings import ROOT, PageSettings, Settings


def variables(settings: Settings) -> dict[str, str]:
    """Every setting as `VITRINE_GROUP__NAME=value`; None is left out, since absent means the same."""
    values: dict[str, str] = {}
    for name in type(settings).model_fields:
        part = getattr(settings, name)
        if isinstance(part, BaseModel):
            fields = ((field, getattr(part, field)) for field in type(part).model_fields)
            values |= {_name(name, field): _text(value) for field, value in fields if value is not None}
        elif part is not None:
            values[_name(name)] = _text(part)
    return values


def child_environment(settings: Settings, **extra: str) -> dict[str, str]:
    """This process's environment with the settings laid over it.

    Args:
        settings: what the child is to read.
        extra: further variables; they win.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("VITRINE_")}
    # One numerical thread each: the processes share the cores, and more threads only wait for one another.
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    return {**inherited, **threads, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT), **variables(settings), **extra}


def overridden(settings: Settings, changes: Mapping[str, Mapping[str, object]]) -> Settings:
    """A copy with some fields of some groups changed, such as `{"worker": {"role": "events"}}`."""
    parts = {group: getattr(settings, group).model_copy(update=dict(fields)) for group, fields in changes.items()}
    return settings.model_copy(update=parts)


def without_secrets(settings: Settings, *, but: str | None = None) -> Settings:
    """A copy without the secrets of the groups that a process has no business with.

    Args:
        settings: of the stack.
        but: the one group whose secrets it needs: `page` signs, `gateway` checks keys. Passwords at the broker lie in files of
            their roles, see `stack.security.as_role`.
    """
    none: dict[str, dict[str, object]] = {
        "page": {"signing_secret": PageSettings().signing_secret, "signing_secret_file": None},
        "gateway": {"api_keys": {}, "browser_keys": {}, "operator_keys": {}, "keys_file": None},
    }
    return overridden(settings, {group: fields for group, fields in none.items() if group != but})


def _name(*parts: str) -> str:
    return "VITRINE_" + "__".join(part.upper() for part in parts)


def _text(value: object) -> str:
    plain = _plain(value)
    if isinstance(plain, bool):
        return "true" if plain else "false"
    return json.dumps(plain) if isinstance(plain, (dict, list)) else str(plain)


def _plain(value: object) -> object:
    match value:
        case SecretStr():
            return value.get_secret_value()
        case Path():
            return str(value)
        case tuple():
            return [_plain(item) for item in value]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case _:
            return value
