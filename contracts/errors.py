"""The one error tree.

VitrineError                    retriable = False
├── ContractError               bytes are wrong, a retry cannot help: dead letter
│   ├── MalformedEvent          not JSON, or not an object
│   ├── InvalidField            a field is missing or breaks its rule
│   ├── UnknownVersion          schema_version of another major
│   ├── OversizedMessage        more bytes, items or nesting than allowed
│   └── TensorMismatch          a tensor has another name, dtype, shape or length than declared
├── DependencyError             retriable = True: bounded retry inside a deadline, then fall back
│   ├── RankerUnavailable       Triton refused, died or answered with an error
│   ├── RankerTimeout           Triton did not answer within the deadline
│   ├── EncoderUnavailable      the item encoder did not answer
│   └── BrokerUnavailable       Kafka did not acknowledge
└── ConfigurationError          refuse to start, exit 2
"""

from __future__ import annotations


class VitrineError(Exception):
    """Root of everything this project raises on purpose."""

    retriable = False


class ContractError(VitrineError):
    """Bytes from outside break the contract; kept in the dead-letter topic.

    Attributes:
        code: stable machine-readable word, the `dlq.error.code` header and the metric label.
        path: JSON path of the field at fault, `$` for the whole message.
    """

    code = "contract_error"

    def __init__(self, message: str, *, path: str = "$") -> None:
        super().__init__(message)
        self.path = path


class MalformedEvent(ContractError):
    """The value is not UTF-8 JSON or not an object."""

    code = "malformed"


class InvalidField(ContractError):
    """A field is missing, of another type, or out of range."""

    code = "invalid_field"


class UnknownVersion(ContractError):
    """`schema_version` names a major version this build does not read."""

    code = "unknown_version"


class OversizedMessage(ContractError):
    """More bytes, items or nesting than the limits allow."""

    code = "oversized"


class TensorMismatch(ContractError):
    """A tensor differs from its declaration in name, dtype, shape or byte length."""

    code = "tensor_mismatch"


class DependencyError(VitrineError):
    """Another process failed; trying again may help."""

    retriable = True


class RankerUnavailable(DependencyError):
    """Triton refused the call, died, or answered with an error."""


class RankerTimeout(DependencyError):
    """Triton did not answer within the deadline."""


class EncoderUnavailable(DependencyError):
    """The item encoder refused, died, or did not answer in time."""


class BrokerUnavailable(DependencyError):
    """Kafka did not acknowledge in time."""


class ConfigurationError(VitrineError):
    """A setting or an artefact is wrong; the process refuses to start (exit code 2)."""
