# syntax=docker/dockerfile:1
# One image for every pod: Kubeflow's steps, Ray's heads and workers, submitters.
#
#     docker build -t registry.example.com/tune-a-video:0.1.0 .                   # GPU, the last stage
#     docker build --target cpu -t registry.example.com/tune-a-video:0.1.0-cpu .
#     docker build --target lavis -t registry.example.com/tune-a-video:0.1.0-lavis .   # GPU, and caption.backend=lavis
#
# CUDA's runtime comes from requirements.lock (the nvidia-* wheels that torch is built against, pinned
# by hash), so the base needs none, and both targets hold the same packages; the driver is the node's.
#
# The base is pinned by version here. A release pins it by digest, which only a registry can tell:
#     --build-arg BASE=docker.io/library/python:3.11.14-slim-bookworm@sha256:<digest>
#
# Where packages come through a mirror, its settings are secrets of the build, and so in no layer:
#     --secret id=pip.conf,src=/etc/pip.conf --secret id=uv.toml,src=/etc/uv/uv.toml
ARG BASE=docker.io/library/python:3.11.14-slim-bookworm

FROM ${BASE} AS build
ARG UV_VERSION=0.13.8
# uv leaves out what does not compile: libraries carry files in the syntax of other Pythons.
ENV UV_LINK_MODE=copy UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1 \
    UV_PYTHON=/opt/venv/bin/python UV_PYTHON_DOWNLOADS=never
WORKDIR /src
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    pip install --no-cache-dir "uv==${UV_VERSION}" && python -m venv --without-pip /opt/venv
COPY requirements.lock pyproject.toml ./
# What pyproject.toml asks for, at the lock's versions and with its hashes; none of its dev tools.
RUN --mount=type=secret,id=uv.toml,target=/etc/uv/uv.toml \
    uv pip install --constraint requirements.lock --requirements pyproject.toml setuptools
COPY README.md LICENSE ./
COPY tav_model tav_model
COPY methods methods
COPY tinyworld tinyworld
COPY eval eval
COPY components components
COPY pipelines pipelines
# Of these sources every file compiles, or there is no image.
RUN /opt/venv/bin/python -m compileall -q . && uv pip install --no-deps --no-build-isolation .

FROM build AS build-lavis
# Its own lock, with hashes; found beside /opt/venv by caption.backend=lavis.
RUN --mount=type=secret,id=uv.toml,target=/etc/uv/uv.toml \
    /opt/venv/bin/python -m components.captioning.lavis.environment /opt/venv-lavis

FROM ${BASE} AS runtime
# KubeRay's probes call wget. The base's digest decides its version.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends wget \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 1000 tav \
    && useradd --uid 1000 --gid tav --create-home tav \
    && chmod 755 /home/tav
COPY --from=build /opt/venv /opt/venv
# The user may be any number, without a name and a home, and the root may be read-only: /tmp alone
# is written to, models of a hub and other caches included.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    USER=tav \
    PYTHONUNBUFFERED=1 \
    RAY_USAGE_STATS_ENABLED=0 \
    GLIBC_TUNABLES=glibc.malloc.hugetlb=1
USER 1000:1000
WORKDIR /home/tav
# A job refuses to run with other versions than its sender's (components/launch/versions.py).
RUN tav --help && python -c "from components.launch.versions import installed; print(installed())"
# Kubernetes has probes of its own, and a command that ends needs none.
HEALTHCHECK NONE
CMD ["tav", "--help"]

FROM runtime AS cpu

FROM runtime AS lavis
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build-lavis /opt/venv-lavis /opt/venv-lavis

FROM runtime AS gpu
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
