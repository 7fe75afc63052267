#!/bin/sh
# need.sh [--optional] PACKAGE…: Debian packages, installed where that is allowed (root, apt-get), else named in one line.
# --optional: what can't be had is only said. Without it the exit code is 1 when something is missing.
set -eu
optional=no
if [ "${1:-}" = --optional ]; then
    optional=yes
    shift
fi

missing() {
    for package; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || echo "$package"
    done | tr '\n' ' '
}

if ! command -v dpkg-query >/dev/null 2>&1; then
    [ "$optional" = yes ] && exit 0
    echo "these programs are needed, by the package manager of this system: $*" >&2
    exit 1
fi
lacking=$(missing "$@")
[ -n "$lacking" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing: $lacking"
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    # one by one when all at once fails, so that one unknown name does not keep the others out
    # shellcheck disable=SC2086
    if ! { apt-get -qq update && apt-get -qq install -y --no-install-recommends $lacking; } >"$log" 2>&1; then
        for package in $lacking; do
            apt-get -qq install -y --no-install-recommends "$package" >>"$log" 2>&1 || true
        done
    fi
    lacking=$(missing "$@")
    [ -z "$lacking" ] || tail -n 5 "$log" >&2
    rm -f "$log"
    [ -n "$lacking" ] || exit 0
fi
echo "not installed: ${lacking% }; type: apt-get install -y --no-install-recommends ${lacking% }" >&2
[ "$optional" = yes ]
