"""Roles, rights, certificates and settings of a secure stack, without a broker."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography import x509

from contracts.errors import ConfigurationError
from contracts.kafka_client import password
from contracts.settings import Settings
from contracts.topics import EVENTS, PAGES, TOPICS
from stack import certificates
from stack.broker import Broker
from stack.environment import overridden, variables
from stack.principals import SUPER_USERS, Role, grants
from stack.security import Keys, as_role, keys_of

CLIENTS = [role for role in Role if role not in SUPER_USERS]


def secure(tmp_path: Path, **kafka: object) -> Settings:
    return overridden(Settings(), {"stack": {"var": tmp_path, "secure": True}, "kafka": kafka})


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    made = Keys(tmp_path / "security")
    made.ensure()
    return made


def test_every_topic_has_somebody_who_writes_it_and_somebody_who_reads_it(tmp_path: Path) -> None:
    allowed = {(grant.operation, grant.name) for grant in grants(secure(tmp_path)) if grant.role is not Role.OPERATOR}
    operators = {(grant.operation, grant.name) for grant in grants(secure(tmp_path)) if grant.role is Role.OPERATOR}
    # The operator reads everything and answers for the models; every other topic lives without that person.
    missing = [topic.name for topic in TOPICS if ("READ", topic.name) not in allowed | operators]
    missing += [topic.name for topic in TOPICS if ("WRITE", topic.name) not in allowed | operators]
    assert missing == []


def test_rights_follow_the_topic_prefix_and_the_groups(tmp_path: Path) -> None:
    named = {grant.name for grant in grants(secure(tmp_path, topic_prefix="shop1."))}
    assert {f"shop1.{EVENTS}", "shop1.vitrine-worker", "shop1.vitrine-worker-sessions-changelog"} <= named
    assert all(name.startswith("shop1.") for name in named)


def test_only_workers_write_pages_and_nobody_but_clients_has_rights(tmp_path: Path) -> None:
    held = grants(secure(tmp_path))
    assert {grant.role for grant in held if (grant.operation, grant.name) == ("WRITE", PAGES)} == {Role.WORKER}
    assert {grant.role for grant in held} == set(CLIENTS)


def test_passwords_differ_and_stay_and_are_the_owners_alone(keys: Keys) -> None:
    before = {role: keys.password(role) for role in Role}
    keys.ensure()
    assert {role: keys.password(role) for role in Role} == before
    assert len(set(before.values())) == len(Role)
    assert min(len(word) for word in before.values()) >= 32
    assert {stat.S_IMODE(file.stat().st_mode) for file in keys.folder.iterdir()} == {0o600}
    assert stat.S_IMODE(keys.folder.stat().st_mode) == 0o700


def test_the_brokers_certificate_is_signed_for_its_addresses_and_the_authoritys_key_is_kept_nowhere(keys: Keys) -> None:
    authority = x509.load_pem_x509_certificate(keys.authority.read_bytes())
    broker = x509.load_pem_x509_certificate(keys.broker.read_bytes())
    broker.verify_directly_issued_by(authority)
    names = broker.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    private = [file.name for file in keys.folder.iterdir() if "PRIVATE KEY" in file.read_text()]
    assert private == ["broker.pem"]


def test_a_certificate_that_expires_soon_is_replaced_and_one_that_does_not_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = Keys(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(certificates, "_DAYS", 10)
        keys.ensure()
    short = keys.authority.read_bytes(), keys.broker.read_bytes()
    keys.ensure()
    long = keys.authority.read_bytes(), keys.broker.read_bytes()
    assert long[0] != short[0]
    assert long[1] != short[1]
    keys.ensure()
    assert (keys.authority.read_bytes(), keys.broker.read_bytes()) == long


def test_a_role_signs_in_with_the_password_of_its_file_and_the_environment_holds_only_the_path(tmp_path: Path) -> None:
    settings = secure(tmp_path)
    keys_of(settings).ensure()
    gateway = as_role(settings, Role.GATEWAY)
    assert (gateway.kafka.security_protocol, gateway.kafka.sasl_username) == ("SASL_SSL", "gateway")
    word = password(gateway.kafka)
    assert word == keys_of(settings).password(Role.GATEWAY)
    assert word not in variables(gateway).values()


def test_a_stack_that_is_not_secure_and_a_cluster_of_ones_own_keep_their_settings(tmp_path: Path) -> None:
    plain = overridden(Settings(), {"stack": {"var": tmp_path}})
    assert as_role(plain, Role.WORKER) is plain
    foreign = overridden(secure(tmp_path), {"stack": {"kafka": False}})
    assert as_role(foreign, Role.WORKER) is foreign


def test_data_whose_passwords_are_gone_is_not_started(tmp_path: Path) -> None:
    (tmp_path / "kafka" / "data-secure").mkdir(parents=True)
    (tmp_path / "kafka" / "data-secure" / "meta.properties").touch()
    with pytest.raises(ConfigurationError, match="passwords that are not in"):
        Broker(secure(tmp_path)).prepare()


def test_the_settings_file_of_a_role_holds_no_password(keys: Keys) -> None:
    keys.write_configs(Settings().kafka)
    texts = {role: keys.config_file(role).read_text() for role in Role if role is not Role.BROKER}
    assert not keys.config_file(Role.BROKER).exists()
    assert [role for role, text in texts.items() if keys.password(role) in text] == []
