"""Stands for Python's ensurepip, which Debian does not ship: its pip came with the stand-in's `apk add python3`."""

import sys

try:
    import pip
except ImportError:
    sys.exit("ensurepip (stand-in): pip is missing: apk add python3 brings it")
print(f"Requirement already satisfied: pip in {pip.__path__[0]} ({pip.__version__})")
