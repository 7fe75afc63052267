"""The tests' own stores: nothing of them stays."""

import glob
import subprocess

import pytest

from tests import stores

pytestmark = pytest.mark.root


def _said(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def test_nothing_of_a_store_stays(store: stores.Store, busybox: str) -> None:
    store.run("run", "--rm", busybox, "true")
    store.run("run", "-d", busybox, "sleep", "1000")
    assert stores._processes(store)
    stores.remove(store)
    assert stores._processes(store) == []
    assert store.tag not in _said("ip", "-o", "link")
    assert store.tag not in _said("nft", "list", "tables")
    assert glob.glob(f"/sys/fs/cgroup/**/*{store.tag}*", recursive=False) == []
    assert glob.glob(f"/sys/fs/cgroup/*/*{store.tag}*") == []
    assert store.root not in _said("cat", "/proc/self/mountinfo")
    assert not glob.glob(store.paths.run)
