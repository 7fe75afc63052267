"""Print the requirements of pyproject.toml, one a line: `run` (with the build back end) or `dev`."""

import pathlib
import sys
import tomllib

document = tomllib.loads((pathlib.Path(__file__).resolve().parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
if sys.argv[1:] == ["run"]:
    found = document["build-system"]["requires"] + document["project"]["dependencies"]
elif sys.argv[1:] == ["dev"]:
    found = document["project"]["optional-dependencies"]["dev"]
else:
    sys.exit("usage: requirements.py run|dev")
print("\n".join(found))
