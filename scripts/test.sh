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
# The tests in one process look at the checkout, the command they start is the one installed from it.
export PYTHONPATH="$PWD/src"
# A file's tests stay together and in order, for some share what the first one has built.
# shellcheck disable=SC2086
exec .venv/bin/python -m pytest -n "$workers" --dist loadfile ${ARGS:-}
