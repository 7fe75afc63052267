"""Take a few pictures with the camera and save them.

CAMERA    what to open: /dev/video0, or a recording
PICS      the folder for the pictures: /pics/
FRAMES    how many pictures: 3

Ends with 0 when at least one picture was saved, else with 1 and a line that says why. Runs on Python 3.6 and later.
"""

import os
import stat
import sys
import time

import cv2

CAMERA_MAJOR = 81  # character devices of video4linux: Documentation/admin-guide/devices.txt of the kernel
TRIES, PATIENCE = 10, 5  # times and seconds: a camera that wakes up may give nothing at first
os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "3")  # seconds that OpenCV waits for a frame; its default is 10


def backend(path):
    """Which part of OpenCV reads the path. Raises OSError when there is nothing to read.

    Left to choose by itself OpenCV tries all of them in turn, and some wait for a long time.
    """
    mode = os.stat(path)
    if stat.S_ISCHR(mode.st_mode) and os.major(mode.st_rdev) == CAMERA_MAJOR:
        return cv2.CAP_V4L2
    if stat.S_ISDIR(mode.st_mode) or stat.S_ISFIFO(mode.st_mode) or stat.S_ISCHR(mode.st_mode):
        raise OSError("it is neither a camera nor a recording")
    with open(path, "rb"):  # the device is there and may still be forbidden
        pass
    return cv2.CAP_FFMPEG


def read_frame(camera):
    """The next picture, or None when the camera gives none."""
    deadline = time.time() + PATIENCE
    for _ in range(TRIES):
        good, frame = camera.read()
        if good and frame is not None:
            return frame
        if time.time() > deadline:
            break
    return None


def take(camera, folder, count):
    """Save up to `count` pictures as frame-1.png, frame-2.png…; returns their paths."""
    paths = []
    while len(paths) < count:
        frame = read_frame(camera)
        if frame is None:
            break
        path = os.path.join(folder, f"frame-{len(paths) + 1}.png")
        if not cv2.imwrite(path, frame):
            raise OSError(f"cannot write {path}")
        print(f"saved {path} ({frame.shape[1]} x {frame.shape[0]})", flush=True)
        paths.append(path)
    return paths


def main():
    path = os.environ.get("CAMERA", "/dev/video0")
    folder = os.environ.get("PICS", "/pics/")
    count = int(os.environ.get("FRAMES", "3"))
    try:
        os.makedirs(folder, exist_ok=True)
        camera = cv2.VideoCapture(path, backend(path))
        if not camera.isOpened():
            raise OSError("OpenCV finds no pictures in it")
        try:
            saved = take(camera, folder, count)
        finally:
            camera.release()
    except OSError as error:
        reason = error.strerror.lower() if error.strerror else str(error)
        return f"cannot take pictures with {path}: {reason} (is it passed by --device?)"
    return None if saved else f"the camera gives no pictures: {path}"


if __name__ == "__main__":
    sys.exit(main())
