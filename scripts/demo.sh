#!/bin/bash
# make demo: the first example. Builds hello-world twice, runs it, and says what happened.
set -euo pipefail
cd "$(dirname "$0")/.."
top=$PWD
boxship=$top/.venv/bin/boxship
base=ubuntu:18.04
seconds_for_pull=${BOXSHIP_DEMO_PULL_SECONDS:-60}

if [ "$(uname -s)" != Linux ]; then
    echo "containers need the Linux kernel: run this on Linux, or in a virtual machine" >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    echo "making namespaces, mounts and cgroups needs root: sudo make demo" >&2
    exit 1
fi

reachable() { # a registry answers 200 or 401 there; curl and wget may both be missing
    "$top/.venv/bin/python" - <<'PY'
import sys, urllib.error, urllib.request
try:
    urllib.request.urlopen("https://registry-1.docker.io/v2/", timeout=10)
except urllib.error.HTTPError as error:
    sys.exit(error.code != 401)
except OSError:
    sys.exit(1)
PY
}

get_base() {
    "$boxship" image inspect "$base" >/dev/null 2>&1 && return
    if reachable && timeout "$seconds_for_pull" "$boxship" pull "$base"; then
        return
    fi
    echo "Docker Hub can't be reached from here"
    scripts/need.sh mmdebstrap
    .venv/bin/python tests/bases.py --put "$base"
}

line() { # show a command line, then do it
    printf '\n$ %s\n' "$*"
    "$@"
}

get_base
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cd examples/hello-world
docker() { "$boxship" "$@"; }
printf '\n$ cat Dockerfile\n'
grep -v -e '^#' -e '^$' Dockerfile
line docker build -t hello-world . 2>&1 | tee "$out/first"
line docker build -t hello-world . 2>&1 | tee "$out/second"
line docker run -i hello-world 2>&1 | tee "$out/run"

# What is said below is looked up in what came out.
printed() { grep -Eq '^(#[0-9]+ [0-9.]+ )?hello world$' "$1"; }
ran=$(printed "$out/first" && echo yes || echo no)
if printed "$out/second" || [ "$(grep -c CACHED "$out/second")" -lt 2 ]; then
    echo "the second build should have taken both RUN steps from the cache" >&2
    exit 1
fi
grep -qx 'hello world again' "$out/run" || {
    echo "the container did not say 'hello world again'" >&2
    exit 1
}
echo
echo "What happened:"
if [ "$ran" = yes ]; then
    echo "  The image is built from a base of Ubuntu 18, with Python 3 installed into it."
    echo "  RUN executes during the build process: that printed 'hello world'."
else
    echo "  The image had been built before, so even the first build took everything from the cache."
fi
echo "  CMD executes when the container is launched: that printed 'hello world again'."
echo "  Built again, it does not give both outputs: the RUN steps are CACHED, nothing was run."
echo "Now you: cd examples/hello-world; $boxship run -i hello-world (examples/README.md has more)"
