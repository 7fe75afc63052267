import subprocess
import sys

HEAVY = "contextlib functools re json typing dataclasses enum socket signal subprocess pathlib tempfile shutil threading logging argparse collections hashlib secrets random"


def test_modules_on_the_run_path_import_nothing_heavy() -> None:
    code = (
        "import sys; before = set(sys.modules)\n"
        "import boxship.layers.view, boxship.layers.users, boxship.layers.remove, boxship.snapshots.overlay\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    path = next(entry for entry in sys.path if entry.endswith("src"))
    words = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {path!r})\n{code}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not set(done.stdout.split()) & set(HEAVY.split())
