# Images of Vitrine's own processes; compose.yaml and deploy/kubernetes use them.
#   docker build --target app .      worker, catalogue agent, gateway, command line (no torch)
#   docker build --target triton .   NVIDIA's server with our models' Python packages

ARG TRITON_IMAGE=nvcr.io/nvidia/tritonserver:26.05-py3

FROM python:3.11-slim-bookworm AS app
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PYTHONPATH=/vitrine \
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements/app.txt /tmp/app.txt
RUN pip install --require-hashes -r /tmp/app.txt && rm /tmp/app.txt
WORKDIR /vitrine
COPY contracts contracts
COPY monitoring monitoring
COPY streams streams
COPY producers producers
COPY consumers consumers
COPY gateway gateway
COPY stack stack
COPY cli cli
COPY config config
# The manifest names the model's version and width; the weights stay with Triton.
COPY triton_models/artefacts triton_models/artefacts
# A named volume takes the owner of the folder that it is put on; without these the processes could not write there.
RUN useradd --uid 10001 --no-create-home vitrine \
    && mkdir -p /data /vitrine/var/shop && chown -R 10001:10001 /data /vitrine/var
USER 10001:10001

FROM ${TRITON_IMAGE} AS triton
ARG STUB_REQUIREMENTS=requirements/stub.txt
# Numba compiles the look-ups at the first start and needs a folder that it may write to.
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1 VITRINE_ROOT=/vitrine NUMBA_CACHE_DIR=/tmp/numba
COPY ${STUB_REQUIREMENTS} /tmp/stub.txt
RUN pip install --no-cache-dir --break-system-packages --require-hashes -r /tmp/stub.txt && rm /tmp/stub.txt
WORKDIR /vitrine
COPY contracts contracts
COPY monitoring monitoring
COPY fusion fusion
COPY triton_models triton_models
COPY streams streams
COPY stack stack
COPY config config
USER 1000:1000
