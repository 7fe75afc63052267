#!/bin/sh
# make check: lint, types, the directions of imports. All of them, even when the first one complains.
cd "$(dirname "$0")/.." || exit 1
bin=$PWD/.venv/bin
failed=
run() {
    echo "== $1"
    shift
    "$@" || failed=yes
}
run "ruff" "$bin/ruff" check --quiet .
run "mypy --strict" "$bin/mypy"
run "import-linter" env PYTHONPATH=src "$bin/lint-imports"
run "reference" "$bin/python" scripts/reference.py --check
[ -z "$failed" ]
