"""A fake camera: a loop block device that carries a short recording, where a machine has no /dev/video0.

OpenCV reads it through FFmpeg, for a block device is a file of a certain length. `--device /dev/loopN:/dev/video0`
passes it to a container under the camera's name.
"""

import contextlib
import fcntl
import os
import pathlib
import stat
import subprocess
import time
from collections.abc import Iterator

# linux/loop.h
_LOOP_SET_FD, _LOOP_CLR_FD, _LOOP_CTL_GET_FREE = 0x4C00, 0x4C01, 0x4C82
_LOOP_MAJOR = 7
_BLOCK = 4096
CAMERA = "/dev/video0"


def record(path: pathlib.Path) -> None:
    """Two seconds of ffmpeg's test picture, 320 x 240, as MJPEG in AVI, padded to whole blocks."""
    source = ["-f", "lavfi", "-i", "testsrc=size=320x240:rate=10", "-t", "2"]
    subprocess.run(["ffmpeg", "-v", "error", *source, "-c:v", "mjpeg", "-q:v", "5", "-f", "avi", "-y", str(path)], check=True)
    size = path.stat().st_size
    os.truncate(path, -(-size // _BLOCK) * _BLOCK)


@contextlib.contextmanager
def loop_device(path: pathlib.Path) -> Iterator[str]:
    """The file as a read-only block device: yields /dev/loopN. Needs root."""
    backing = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    name, device = _attach(backing)
    try:
        yield name
    finally:
        os.close(backing)
        # it goes when the last container that holds it has ended
        fcntl.ioctl(device, _LOOP_CLR_FD)
        os.close(device)


def _attach(backing: int) -> tuple[str, int]:
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(50):
            number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            name = f"/dev/loop{number}"
            if not os.path.exists(name):
                os.mknod(name, stat.S_IFBLK | 0o660, os.makedev(_LOOP_MAJOR, number))
            device = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.ioctl(device, _LOOP_SET_FD, backing)
            except OSError:  # somebody else was quicker
                os.close(device)
                time.sleep(0.1)
                continue
            return name, device
    finally:
        os.close(control)
    raise OSError("no free loop device")


@contextlib.contextmanager
def standing_as(device: str, path: str = CAMERA) -> Iterator[str]:
    """A node of the same device under the camera's name, on a machine without a camera. Yields the path."""
    os.mknod(path, stat.S_IFBLK | 0o660, os.stat(device).st_rdev)
    try:
        yield path
    finally:
        os.unlink(path)
