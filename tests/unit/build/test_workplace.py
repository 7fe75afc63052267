"""Directories of builds and locks of keys: alive ones stay, those of the dead go."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from boxship.build.workplace import Workplace, in_words, key_lock, spread, sweep
from boxship.config import Paths
from boxship.errors import Unavailable


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(str(tmp_path), str(tmp_path / "run"))
    os.mkdir(made.tmp)
    return made


def test_a_place_is_gone_afterwards_and_safe_before(paths: Paths) -> None:
    with Workplace(paths) as place:
        Path(place.path, "d").mkdir()
        assert sweep(paths) == 0
        assert os.path.isdir(place.path)
        with Workplace(paths) as other:
            assert other.path != place.path
    assert os.listdir(paths.tmp) == []


def test_what_the_dead_left_is_swept_and_nothing_else(paths: Paths) -> None:
    script = (
        "import os,sys; from boxship.build.workplace import *; from boxship.config import Paths\n"
        "p = Paths(sys.argv[1], sys.argv[2])\n"
        "w = Workplace(p).__enter__(); open(w.path + '/f', 'w'); l = key_lock(p, 'ab' * 32, int); l.__enter__(); os._exit(9)"
    )
    source = str(Path(__file__).resolve().parents[3] / "src")
    subprocess.run([sys.executable, "-c", script, paths.root, paths.run], env={**os.environ, "PYTHONPATH": source}, check=False)
    Path(paths.tmp, "pull-x").mkdir()
    assert len(os.listdir(paths.tmp)) == 3
    assert sweep(paths) == 1
    assert os.listdir(paths.tmp) == ["pull-x"]


def test_a_key_has_one_worker_at_a_time(paths: Paths) -> None:
    inside, most = 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(20):
            with key_lock(paths, "k" * 64, lambda: None):
                with lock:
                    inside += 1
                    most = max(most, inside)
                with lock:
                    inside -= 1

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert most == 1
    assert os.listdir(paths.tmp) == []


def test_waiting_for_a_key_can_be_given_up(paths: Paths) -> None:
    class Enough(Exception):
        pass

    def give_up() -> None:
        raise Enough

    with key_lock(paths, "k" * 64, lambda: None):
        with pytest.raises(Enough), key_lock(paths, "k" * 64, give_up):
            raise AssertionError("two have the lock")
        with key_lock(paths, "j" * 64, give_up):
            pass


def test_spreading_over_a_disk_is_asked_for_and_never_fails(paths: Paths) -> None:
    with Workplace(paths):
        pass
    spread(paths.tmp)
    if subprocess.run(["stat", "-f", "-c", "%T", paths.tmp], capture_output=True, text=True, check=True).stdout.strip() != "ext2/ext3":
        pytest.skip("the flag is ext4's")
    shown = subprocess.run(["lsattr", "-d", paths.tmp], capture_output=True, text=True, check=True).stdout
    assert "T" in shown.split()[0]


def test_a_full_disk_in_words() -> None:
    error = in_words(OSError(28, "No space left on device"), "do COPY . /")
    assert isinstance(error, Unavailable)
    assert "no space left on device" in str(error)
    assert error.hint
