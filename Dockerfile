# One image for both programs; the command says which: `python -m allocator` or `python -m speaker`.
#
#   docker build --tag berth:0.1.0 .
#
# The tests run on this version of Python, and requirements.lock was resolved for it.
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/berth
# Dependencies first: this layer stays until the lock file changes. A package whose hash is not in the file is refused.
COPY requirements.lock /src/
RUN /opt/berth/bin/pip install --require-hashes --only-binary=:all: --requirement /src/requirements.lock
COPY pyproject.toml README.md LICENSE /src/
COPY allocator /src/allocator
COPY cli /src/cli
COPY crds /src/crds
COPY kube /src/kube
COPY speaker /src/speaker
RUN pip wheel --no-deps --wheel-dir /wheels /src \
    && /opt/berth/bin/pip install --no-deps --no-index /wheels/berth-*.whl \
    && /opt/berth/bin/python -m compileall -q /opt/berth/lib

FROM python:${PYTHON}
LABEL org.opencontainers.image.title="berth" \
      org.opencontainers.image.description="IP addresses for Kubernetes Services of type LoadBalancer on bare metal" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/berth /opt/berth
# The root file system is read-only in the pods, so nothing is compiled at run time; logs are not held back in a buffer.
ENV PATH=/opt/berth/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# Nobody, unless the pod says otherwise: the speaker needs user 0 for its raw socket (and has no other right of root).
USER 65532:65532
CMD ["python", "-m", "allocator", "--help"]
