#!/bin/sh
# venv.sh FOLDER: a virtual environment with the first Python that is new enough. $PYTHON is asked first.
set -eu
folder=$1

suits() {
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c 'import sys, ctypes, sqlite3, ssl, zlib; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

for python in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3 /usr/local/bin/python3; do
    if suits "$python"; then
        found=$python
        break
    fi
done
if [ -z "${found:-}" ]; then
    echo "no Python 3.11 or newer on PATH" >&2
    echo "hint: apt-get install -y python3 python3-venv, or make PYTHON=/path/to/python3" >&2
    exit 1
fi

if [ -x "$folder/bin/python" ] && "$folder/bin/python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    exit 0
fi
echo "making $folder with $("$found" -c 'import sys; print("%s (Python %d.%d.%d)" % (sys.executable, *sys.version_info[:3]))')"
# Debian keeps ensurepip, which venv needs, in a package of its own
if ! "$found" -c 'import ensurepip, venv' 2>/dev/null; then
    scripts=$(dirname "$0")
    "$scripts/need.sh" "$("$found" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')-venv" || exit 1
fi
rm -rf "$folder"
"$found" -m venv "$folder"
