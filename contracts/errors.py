"""The one error tree.

VitrineError                    retriable = False
├── ContractError               bytes are wrong, a retry cannot help: dead letter
│   ├── MalformedEvent          not JSON, or not an object
│   ├── InvalidField            a field is missing, of another type, or breaks its rule
│   │   ├── OutOfLength         a text or a list is longer or shorter than allowed
│   │   ├── OutOfRange          a number is outside its bounds
│   │   ├── NotFinite           NaN or infinity
│   │   ├── ClockSkew           an event time that the broker's clock says cannot be
│   │   └── WrongKey            the message key does not name the visitor or item of the value
│   ├── UnknownVersion          schema_version of another major
│   ├── OversizedMessage        more bytes than allowed
│   │   └── NestedTooDeep       more nesting than allowed
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
    """A field is missing, of another type, or breaks its rule."""

    code = "invalid_field"


class OutOfLength(InvalidField):
    """A text, a list or a map is longer or shorter than allowed."""

    code = "out_of_length"


class OutOfRange(InvalidField):
    """A number is outside its bounds."""

    code = "out_of_range"


class NotFinite(InvalidField):
    """A number is NaN or infinite; JSON (RFC 8259, section 6) knows neither."""

    code = "not_finite"


class ClockSkew(InvalidField):
    """`event_time` lies further ahead of the broker's clock than clocks differ."""

    code = "clock_skew"


class WrongKey(InvalidField):
    """The message key is not `tenant_id|visitor_id` of the value: the event would go to another visitor's session."""

    code = "wrong_key"


class UnknownVersion(ContractError):
    """`schema_version` names a major version this build does not read."""

    code = "unknown_version"


class OversizedMessage(ContractError):
    """More bytes than the limits allow."""

    code = "oversized"


class NestedTooDeep(OversizedMessage):
    """More nesting than the limits allow."""

    code = "too_deep"


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


def contract_codes(kind: type[ContractError] = ContractError) -> list[str]:
    """Every `code` of the tree, sorted: the reasons that a dead letter can have."""
    return sorted({kind.code, *(code for each in kind.__subclasses__() for code in contract_codes(each))})
