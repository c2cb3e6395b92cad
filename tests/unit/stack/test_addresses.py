import socket
from contextlib import closing

import pytest

from contracts.errors import ConfigurationError
from stack.addresses import Address, free_address, parse_address, require_free


def test_an_address_is_split_at_its_last_colon() -> None:
    assert parse_address("127.0.0.1:9092", "X") == Address("127.0.0.1", 9092)
    assert parse_address("[::1]:80", "X") == Address("::1", 80)
    assert parse_address("a:1, b:2", "X") == Address("a", 1)


@pytest.mark.parametrize("text", ["", "host", ":1", "host:", "host:http", "host:65536", "host:-1"])
def test_what_is_no_address_is_refused_by_the_name_of_its_setting(text: str) -> None:
    with pytest.raises(ConfigurationError, match="VITRINE_TRITON__GRPC_ADDRESS"):
        parse_address(text, "VITRINE_TRITON__GRPC_ADDRESS")


def test_a_taken_port_is_refused_with_the_setting_and_the_process_that_listens() -> None:
    with closing(socket.socket()) as foreign:
        foreign.bind(("127.0.0.1", 0))
        foreign.listen()
        address = Address(*foreign.getsockname())
        with pytest.raises(ConfigurationError, match=r"VITRINE_GATEWAY__PORT.*process \d+ \(.+\) listens there"):
            require_free(address, "VITRINE_GATEWAY__PORT")


def test_a_free_port_is_accepted() -> None:
    require_free(parse_address(free_address(), "X"), "X")
