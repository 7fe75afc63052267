#!/bin/sh
# make test [ARGS="…"]: what the tests need, then all of them. ARGS go to pytest: make test ARGS="tests/unit -k tar".
set -eu
cd "$(dirname "$0")/.."
if [ "$(id -u)" = 0 ]; then
    scripts/need.sh --optional docker-registry mmdebstrap busybox-static ffmpeg wget iproute2 nftables libseccomp2 skopeo umoci
else
    echo "not root: the tests that make containers are skipped (sudo make test runs them)"
fi
# Tests wait for the kernel and for the network more than they compute.
workers=$(($(getconf _NPROCESSORS_ONLN) + 1))
# shellcheck disable=SC2086
exec .venv/bin/python -m pytest -n "$workers" --dist loadgroup ${ARGS:-}
