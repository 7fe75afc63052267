#!/bin/sh
# make bench [CASES=run,exec]: Boxship and its peers in one run, by the harness of ../shared/bench (BENCH=folder: another place).
# The results go to bench-work/bench.json, the tables to bench-work/bench.md.
set -eu
cd "$(dirname "$0")/.."
harness=${BENCH:-$(cd .. && pwd)/shared/bench}
if [ ! -f "$harness/bench.py" ]; then
    echo "the benchmark's harness is not there: $harness/bench.py" >&2
    echo "hint: BENCH=folder names the place of bench.py" >&2
    exit 1
fi
[ "$(id -u)" = 0 ] || {
    echo "the benchmark needs root: sudo make bench" >&2
    exit 1
}
scripts/need.sh docker.io podman buildah runc crun skopeo umoci docker-registry busybox-static bubblewrap
work=${WORK:-/var/tmp/bench}
if [ -f "$harness/disk.sh" ]; then
    bash "$harness/disk.sh" up "$work"
    trap 'bash "$harness/disk.sh" down "$work"' EXIT
fi
mkdir -p bench-work
python3 -B "$harness/bench.py" --workdir "$work" --engines "${ENGINES-docker,podman}" \
    --engine "boxship=BOXSHIP_ROOT=$work/boxship $PWD/.venv/bin/boxship" \
    --daemon "boxship=forkserver" \
    ${CASES:+--cases "$CASES"} ${REPS:+--reps "$REPS"} --json bench-work/bench.json --commands | tee bench-work/bench.md
