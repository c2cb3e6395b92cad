"""Kafka connection options of the settings for kafka-python."""

from __future__ import annotations

from typing import Any

from contracts.settings import KafkaSettings


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """Arguments that every kafka-python client takes: servers and, where set, TLS and SASL."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers.split(","),
        "security_protocol": settings.security_protocol,
    }
    if settings.ssl_ca_file is not None:
        options["ssl_cafile"] = str(settings.ssl_ca_file)
    if settings.sasl_username is not None:
        options |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_username,
            "sasl_plain_password": _password(settings),
        }
    return options


def _password(settings: KafkaSettings) -> str | None:
    if settings.sasl_password_file is not None:
        return settings.sasl_password_file.read_text().strip()
    return settings.sasl_password.get_secret_value() if settings.sasl_password else None
