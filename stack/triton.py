"""The embedded inference server: Triton from the nvidia-pytriton wheel, launched directly, gRPC on loopback only."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import subprocess
import sys
import time
from hashlib import blake2b
from pathlib import Path

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from contracts.errors import ConfigurationError, RankerUnavailable
from contracts.releases import OBJECTIVES
from contracts.settings import ROOT, ObjectiveSettings, Settings, resolve
from contracts.tensors import MODEL_NAMES
from stack.addresses import Address, parse_address
from stack.environment import child_environment
from stack.process import Child

SERVING = ROOT / ".venv-serving"  # the stub needs numpy < 2 and no torch, see requirements/serving.in
REPOSITORY = ROOT / "triton_models" / "repository"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Triton's python backend keeps its regions
GRPC_SETTING = "VITRINE_TRITON__GRPC_ADDRESS"
METRICS_SETTING = "VITRINE_TRITON__METRICS_ADDRESS"
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_SITE = SERVING / "lib" / f"python{_PYTHON}" / "site-packages"
# Nobody needs these protocols: the key that opens them is drawn anew at every start and told to nobody. Others on the machine
# can read arguments, so the key is also one that no call can bring: names of HTTP/2 headers have no capital letters.
_RESTRICTED = "shared-memory,model-repository,model-config,statistics,trace,logging"


def exported_models(settings: Settings) -> Path:
    """Folder of the ONNX files of the served artefact: `var/models/<name>`, written by `triton_models.export`."""
    return ROOT / "var" / "models" / settings.model.path.name


def ensure_exported(settings: Settings) -> Path:
    """Export the artefact unless `var/models/<name>` already holds this very version, made for these objectives.

    Returns:
        The folder of the exported models.

    Raises:
        ConfigurationError: the artefact is not there or cannot be exported.
    """
    artefact, exported = resolve(settings.model.path), exported_models(settings)
    wanted, present = artefact / "manifest.json", exported / "manifest.json"
    if not wanted.exists():
        message = (
            f"VITRINE_MODEL__PATH={settings.model.path}: no manifest.json there, expected a folder that `vitrine train` wrote"
        )
        raise ConfigurationError(message)
    if present.exists() and present.read_bytes() == wanted.read_bytes() and _objectives_of(exported) == settings.objectives:
        return exported
    command = [sys.executable, "-m", "triton_models.export", "--artefact", str(artefact), "--out", str(exported)]
    finished = subprocess.run(command, cwd=ROOT, env=child_environment(settings), capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        message = f"the model {artefact} could not be exported: {finished.stderr.strip()[-2000:]}"
        raise ConfigurationError(message)
    return exported


def _objectives_of(exported: Path) -> ObjectiveSettings | None:
    """What an export was made for; None if it does not say."""
    try:
        return ObjectiveSettings.model_validate_json((exported / OBJECTIVES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


class TritonServer:
    """Prepares Triton's backend folder and its process; run files in `<stack.var>/triton`.

    Shared-memory regions of one start are called `/dev/shm/vitrine<id of folder and address>_<start>_…`, so that a start
    meets no left-over of another and removes only its own.

    Args:
        settings: addresses, var folder, broker.
        model: exported model to serve; None for the configured artefact's.
        name: of the process and its log.
    """

    def __init__(self, settings: Settings, model: Path | None = None, name: str = "triton") -> None:
        self.grpc = parse_address(settings.triton.grpc_address, GRPC_SETTING)
        self.metrics = parse_address(settings.triton.metrics_address, METRICS_SETTING)
        self._settings = settings
        self._model = model or exported_models(settings)
        self._name = name
        self._var = resolve(settings.stack.var)
        place = f"{self._var.resolve()}|{self.grpc}"
        self.region = "vitrine" + blake2b(place.encode(), digest_size=5).hexdigest()

    def prepare(self) -> None:
        """Assemble the backend folder and remove shared memory that an earlier start left.

        Raises:
            ConfigurationError: the serving environment is missing.
        """
        wheel = _SITE / "pytriton" / "tritonserver"
        if not (wheel / "bin" / "tritonserver").exists():
            message = f"no Triton in {SERVING}: run `make setup`"
            raise ConfigurationError(message)
        backend = self._backends() / "python"
        backend.mkdir(parents=True, exist_ok=True)
        stub = wheel / "python_backend_stubs" / _PYTHON / "triton_python_backend_stub"
        files = (*(wheel / "backends" / "python").glob("*.*"), stub)
        for source in files:
            target = backend / source.name
            if not target.exists() or target.stat().st_size != source.stat().st_size:
                shutil.copyfile(source, target)
        program = backend / stub.name
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self.remove_shared_memory()

    def child(self, nice: int = 0) -> Child:
        """A process with a shared-memory prefix of its own, not started; `nice` above 0 gives it less of the processor."""
        prefix = f"{self.region}_{secrets.token_hex(4)}_"
        command = [
            str(_SITE / "pytriton" / "tritonserver" / "bin" / "tritonserver"),
            f"--model-repository={REPOSITORY}",
            f"--backend-directory={self._backends()}",
            # Explicit: only these folders of the repository are models; the API that could load others is restricted.
            "--model-control-mode=explicit",
            *(f"--load-model={name}" for name in MODEL_NAMES),
            "--disable-auto-complete-config",
            "--strict-readiness=true",
            f"--grpc-address={self.grpc.host}",
            f"--grpc-port={self.grpc.port}",
            f"--grpc-restricted-protocol={_RESTRICTED}:ADMIN={secrets.token_urlsafe(24)}",
            "--allow-http=false",
            f"--metrics-address={self.metrics.host}",
            f"--metrics-port={self.metrics.port}",
            "--allow-gpu-metrics=false",
            "--metrics-config=summary_latencies=true",
            f"--backend-config=python,shm-region-prefix-name={prefix}",
            "--backend-config=python,stub-timeout-seconds=120",
            # A dead stub makes the server wait this long when it is asked to end.
            "--exit-timeout-secs=5",
        ]
        return Child(self._name, command, self._environment(), self._var / "log" / f"{self._name}.log", ROOT, nice)

    def remove_shared_memory(self) -> list[str]:
        """Delete the regions that earlier starts with this folder and address left; call it while none runs.

        Returns:
            Names of what was deleted.
        """
        left = sorted(SHARED_MEMORY.glob(f"{self.region}_*"))
        for region in left:
            region.unlink(missing_ok=True)
        return [region.name for region in left]

    def is_ready(self, timeout_seconds: float = 1.0) -> bool:
        """Whether server and models say that they are ready; a dead stub still says so, see `stack.canary`."""
        with grpc.insecure_channel(str(self.grpc), options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            try:
                return bool(stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=timeout_seconds).ready)
            except grpc.RpcError:
                return False

    def wait_until_ready(self, child: Child, patience_seconds: float = 180.0) -> None:
        """Poll until Triton is ready.

        Raises:
            RankerUnavailable: the process ended or did not get ready in time; the message holds the end of its log.
        """
        deadline = time.monotonic() + patience_seconds
        while not self.is_ready():
            if not child.is_alive or time.monotonic() > deadline:
                message = f"Triton did not start on {self.grpc}; the end of {child.log_file}:\n{child.log_tail(40)}"
                raise RankerUnavailable(message)
            time.sleep(0.1)

    def addresses(self) -> tuple[tuple[Address, str], ...]:
        """What it listens on, each with the name of its setting."""
        return ((self.grpc, GRPC_SETTING), (self.metrics, METRICS_SETTING))

    def _backends(self) -> Path:
        return self._var / "triton" / "backends"

    def _environment(self) -> dict[str, str]:
        # The stub runs the first python3 of PATH, ignores PYTHONPATH, and must load the libpython of that very Python.
        base = Path(os.path.realpath(SERVING / "bin" / "python")).parent.parent
        libraries = [str(_SITE / "nvidia_pytriton.libs"), str(base / "lib")]
        return child_environment(
            self._settings,
            PATH=f"{SERVING / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}",
            LD_LIBRARY_PATH=os.pathsep.join(libraries),
            VIRTUAL_ENV=str(SERVING),
            VITRINE_ROOT=str(ROOT),
            NUMBA_CACHE_DIR=str(ROOT / "var" / "numba"),  # compiled once, whoever starts it
            VITRINE_MODEL_DIR=str(self._model),
        )
