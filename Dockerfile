# One image for both programs; the command says which: `python -m allocator` or `python -m speaker`.
#
# `make image` calls this with the archive that tools/image makes. Nothing runs while it is built, so an image for
# another architecture is built in the same way. A base of your own has to bring Python 3.11 as `python`:
#
#     make image BASE=python:3.11-slim-bookworm
ARG BASE
FROM ${BASE}
ARG VERSION
ARG CREATED
ARG REVISION
LABEL org.opencontainers.image.title="berth" \
      org.opencontainers.image.description="IP addresses for Kubernetes Services of type LoadBalancer on bare metal" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.revision="${REVISION}"
ADD app.tar /
# The root file system is read-only in the pods, so nothing is compiled at run time; logs are not held back in a buffer.
ENV PATH=/opt/berth/bin:/usr/local/bin:/usr/bin:/bin PYTHONPATH=/opt/berth/lib PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# Nobody, unless the pod says otherwise: the speaker needs user 0 for its raw socket (and has no other right of root).
USER 65532:65532
CMD ["python", "-m", "allocator", "--help"]
