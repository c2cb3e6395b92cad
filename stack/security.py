"""Certificates, passwords and the settings of each role for an embedded broker that asks everybody who they are.

Everything lies in `<stack.var>/security`, made at the first start, readable by its owner only:

- `ca.pem`: the authority that clients trust. Its key is thrown away after it has signed the broker's certificate, so nobody
  can sign another; a certificate that is about to expire is replaced together with its authority at the next start.
- `broker.pem`: the broker's key and certificate, which it also shows to its own controller.
- `<role>.password`: for SCRAM-SHA-512.
- `<role>.toml`: settings of a client of that role: `VITRINE_CONFIG=var/security/operator.toml vitrine dlq list`.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from contracts.settings import KafkaSettings, Settings, resolve
from stack.environment import overridden
from stack.principals import Role

BROKER_NAME = "vitrine-broker"
"""Common name of the broker's certificate."""
_PASSWORD_BYTES = 24


class Keys:
    """The files of one stack's security.

    Args:
        folder: where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = folder / "ca.pem"
        self.broker = folder / "broker.pem"

    def password_file(self, role: Role) -> Path:
        """Holds the password of a role, without a newline."""
        return self.folder / f"{role}.password"

    def password(self, role: Role) -> str:
        """The password of a role."""
        return self.password_file(role).read_text()

    def config_file(self, role: Role) -> Path:
        """Settings of a client of that role, for `VITRINE_CONFIG`."""
        return self.folder / f"{role}.toml"

    def ensure(self, hosts: Sequence[str] = ("localhost", "127.0.0.1")) -> None:
        """Make what is missing; passwords that exist stay, certificates are renewed a month before they expire.

        Args:
            hosts: names and addresses by which clients reach the broker.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        for role in Role:
            if not self.password_file(role).exists():
                write_private(self.password_file(role), secrets.token_hex(_PASSWORD_BYTES))
        from stack import certificates  # noqa: PLC0415 - a client needs none, and its image has no such package

        if not self._has_both() or certificates.expires_soon(self.authority.read_bytes()):
            authority, broker = certificates.certificates(BROKER_NAME, hosts)
            write_private(self.broker, broker)
            write_private(self.authority, authority)  # last: its presence means that both are there

    def _has_both(self) -> bool:
        return self.authority.exists() and self.broker.exists()

    def write_configs(self, kafka: KafkaSettings) -> None:
        """Write the settings file of each role that clients have."""
        for role in Role:
            if role is not Role.BROKER:
                client = client_settings(kafka, self, role)
                names = ("bootstrap_servers", "topic_prefix", "security_protocol", "sasl_mechanism", "sasl_username",
                         "sasl_password_file", "ssl_ca_file")  # fmt: skip
                lines = [f'{name} = "{getattr(client, name)}"' for name in names]
                text = "\n".join(["[kafka]", *lines, f"partitions = {client.partitions}"]) + "\n"
                write_private(self.config_file(role), text)


def keys_of(settings: Settings) -> Keys:
    """The files of the stack of these settings."""
    return Keys(resolve(settings.stack.var) / "security")


def client_settings(kafka: KafkaSettings, keys: Keys, role: Role) -> KafkaSettings:
    """How a client of that role reaches the secure broker; the password stays in its file."""
    return kafka.model_copy(
        update={
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": str(role),
            "sasl_password": None,
            "sasl_password_file": keys.password_file(role).absolute(),
            "ssl_ca_file": keys.authority.absolute(),
        }
    )


def as_role(settings: Settings, role: Role) -> Settings:
    """The settings for a process of that role; unchanged where the stack is not secure, or the cluster is not ours."""
    if not (settings.stack.secure and settings.stack.kafka):
        return settings
    client = client_settings(settings.kafka, keys_of(settings), role)
    return overridden(settings, {"kafka": {name: getattr(client, name) for name in KafkaSettings.model_fields}})


def write_private(file: Path, content: str | bytes) -> None:
    """Replace a file in one step; only its owner may read it, from its first byte on."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as output:
        output.write(content.encode() if isinstance(content, str) else content)
    fresh.replace(file)
