"""The Kafka settings in the words of each client library."""

from __future__ import annotations

import ssl
from typing import Any

from contracts.errors import ConfigurationError
from contracts.settings import KafkaSettings, resolve


def servers(settings: KafkaSettings) -> list[str]:
    """`bootstrap_servers` as a list of host:port."""
    return [server.strip() for server in settings.bootstrap_servers.split(",") if server.strip()]


def password(settings: KafkaSettings) -> str | None:
    """The SASL password from the setting or the file that holds it.

    Raises:
        ConfigurationError: if `kafka.sasl_password_file` cannot be read.
    """
    if settings.sasl_password_file is not None:
        try:
            return resolve(settings.sasl_password_file).read_text().strip()
        except OSError as error:
            message = f"kafka.sasl_password_file: {settings.sasl_password_file} cannot be read: {error.strerror}"
            raise ConfigurationError(message) from error
    return settings.sasl_password.get_secret_value() if settings.sasl_password is not None else None


def ssl_context(settings: KafkaSettings) -> ssl.SSLContext | None:
    """TLS context that trusts `ssl_ca_file` (or the system's authorities); None without TLS.

    Raises:
        ConfigurationError: if the file cannot be read.
    """
    if "SSL" not in settings.security_protocol.split("_"):
        return None
    cafile = resolve(settings.ssl_ca_file) if settings.ssl_ca_file is not None else None
    try:
        return ssl.create_default_context(cafile=cafile)
    except OSError as error:
        message = f"kafka.ssl_ca_file: {cafile} cannot be read: {error}"
        raise ConfigurationError(message) from error


def why_not(settings: KafkaSettings, error: Exception) -> str:
    """In words why the broker could not be used: it does not allow this to us, or it does not answer us.

    Args:
        settings: how it was tried.
        error: of any client library.
    """
    name = type(error).__name__
    if "Authorization" in name:
        who = settings.sasl_username or "a client that does not say who it is"
        return f"the broker at {settings.bootstrap_servers} does not allow this to {who}: {error}"
    how = settings.security_protocol + (f" as {settings.sasl_username}" if settings.sasl_username else "")
    return f"no broker answers at {settings.bootstrap_servers} over {how}: {error}"


def _options(settings: KafkaSettings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "bootstrap_servers": servers(settings),
        "security_protocol": settings.security_protocol,
        "ssl_context": ssl_context(settings),
    }
    if settings.security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = password(settings)
    return options


def kafka_python_options(settings: KafkaSettings) -> dict[str, Any]:
    """Keyword arguments for kafka-python's clients."""
    return _options(settings)


def aiokafka_options(settings: KafkaSettings) -> dict[str, Any]:
    """Keyword arguments for aiokafka's clients."""
    return _options(settings)
