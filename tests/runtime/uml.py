"""Another kernel to test on: user-mode Linux on the host's own file system, as a process without privileges of its own.

Debian's `user-mode-linux` (Linux 6.1) has cgroup v2 alone, which most machines that run these tests on v1 lack.
"""

import pathlib
import shutil
import subprocess
import sys
import textwrap
import uuid

import pytest

_INIT = """\
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs tmpfs /run
mkdir -p /dev/shm && mount -t tmpfs tmpfs /dev/shm
echo {mark}-begin
{python} -B {script} 2>&1
echo {mark}-exit $?
halt -f -p
"""


def run(code: str, tmp_path: pathlib.Path, *, timeout: float = 60, memory: str = "256M") -> str:
    """Standard output and error of a Python script that runs as root inside; AssertionError when it fails.

    The script finds this package's sources on sys.path. The whole file system is the host's, read only in spirit: leave it as it is.
    """
    binary = shutil.which("linux.uml")
    if binary is None:
        pytest.skip("linux.uml is not installed (Debian: user-mode-linux)")
    mark = uuid.uuid4().hex
    source = pathlib.Path(__file__).resolve().parents[2]
    script, init = tmp_path / "inside.py", tmp_path / "init"
    header = f"import sys\nsys.path[:0] = [{str(source / 'src')!r}, {str(source)!r}]\n"
    script.write_text(header + textwrap.dedent(code))
    init.write_text(_INIT.format(mark=mark, script=script, python=sys.executable))
    init.chmod(0o755)
    command = [binary, f"mem={memory}", "rootfstype=hostfs", "rootflags=/", "rw", f"init={init}", "quiet", "con=null", "con0=null,fd:1", f"uml_dir={tmp_path}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False, cwd=tmp_path)
    text = done.stdout.decode(errors="replace").replace("\r\n", "\n")
    _, begun, rest = text.partition(f"{mark}-begin\n")
    output, ended, status = rest.partition(f"{mark}-exit ")
    assert begun and ended, f"the machine did not come up: {text[-2000:]}"
    assert status.split()[0] == "0", output
    return output
