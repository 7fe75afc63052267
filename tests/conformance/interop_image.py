"""An image that has one of everything: its Dockerfile and context, which Boxship, docker's classic builder and podman all take."""

import io
import pathlib
import stat
import tarfile

_DOCKERFILE = """\
ARG BASE=busybox
FROM ${BASE}
LABEL flavour="sweet and sour" "with space"="a=b"
ADD files.tar /srv/
COPY report /opt/report
ENV GREETING="hello world" EMPTY="" QUOTED="it's \\"so\\""
RUN echo "app:x:1234:50:An App:/home/app:/bin/sh" >> /etc/passwd && mkdir /home/app && chown app:staff /home/app
RUN rm -r /srv/hidden /srv/gone /srv/deep && mkdir /srv/hidden && echo new > /srv/hidden/new
RUN cd /srv && rm becomes-dir && mkdir becomes-dir && echo x > becomes-dir/x && rm -r becomes-link && ln -s one becomes-link \\
    && ln one third && chown 12:34 owned && chmod 4751 late-suid && mv moved elsewhere && echo more >> grown && touch .hidden
COPY --chown=1234:50 extra /srv/extra/
WORKDIR /srv/work/place
RUN ln /srv/other /srv/other-again && ln /srv/capable /srv/capable-again && ln /srv/suid /srv/suid-again && rm /srv/two && mkdir -p /data/sub && echo kept > /data/sub/kept && chown -R 1234:50 /data \\
    && chmod 1770 /data && mkdir -m 2775 /srv/shared && touch "/srv/shared/sp ace" && mkfifo /srv/shared/fifo
EXPOSE 80 53/udp
VOLUME /data
STOPSIGNAL SIGINT
USER app:staff
ENTRYPOINT ["/bin/sh", "/opt/report"]
CMD ["one", "two words"]
"""

_REPORT = """\
echo "arguments: $#"; for word; do echo "[$word]"; done
id; pwd; umask; hostname
grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status
env | sort
cat /data/sub/kept /srv/hidden/new /srv/becomes-link /srv/elsewhere/file
(echo mine > /data/sub/mine) && cat /data/sub/mine
(echo no > /srv/one) 2>/dev/null || echo "not writable"
cat /srv/secret 2>/dev/null || echo "not readable"
cd / && find opt srv data -exec stat -c '%A %u %g %h %t:%T %s %N' {} + | grep -v '^d' | sort
exit 7
"""

REPORT_CODE = 7
# what `setcap cap_net_raw+ep` writes: a revision 2 vfs_cap_data with the effective bit
_CAPABILITY = "\x01\x00\x00\x02\x00\x20\x00\x00" + "\x00" * 12
_LONG = "long-" + "n" * 120
TIME = 1_600_000_000


def _archive() -> bytes:
    """What a Dockerfile can't make by itself: attributes, owners, devices, links and old times."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:

        def put(name: str, text: "str | None" = None, mode: int = 0o644, kind: bytes = tarfile.REGTYPE, **more: object) -> None:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.mtime = (kind if text is None else tarfile.REGTYPE), mode, TIME
            data = (text or "").encode()
            info.size = len(data)
            for key, value in more.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))

        for folder in ("hidden", "hidden/below", "gone", "deep", "deep/er", "becomes-link", "moved", "work", "kept", "kept/below"):
            put(folder, mode=0o755, kind=tarfile.DIRTYPE)
        for name in (
            "hidden/old",
            "hidden/below/old",
            "gone/x",
            "deep/er/x",
            "becomes-dir",
            "becomes-link/x",
            "moved/file",
            "owned",
            "grown",
        ):
            put(name, f"{name}\n")
        put("one", "the first\n", uid=5, gid=6)
        put("two", kind=tarfile.LNKTYPE, linkname="one", uid=5, gid=6)
        put("other", "no other\n", mode=0o400)
        put("late-suid", "#!/bin/sh\n", mode=0o755)
        put("suid", "#!/bin/sh\n", mode=0o4755)
        put("sgid", "#!/bin/sh\n", mode=0o2711, gid=50)
        put("secret", "secret\n", mode=0o600)
        put("sticky", mode=0o1777, kind=tarfile.DIRTYPE, pax_headers={"SCHILY.xattr.user.of-folder": "yes"})
        put("capable", "#!/bin/sh\n", mode=0o755, pax_headers={"SCHILY.xattr.security.capability": _CAPABILITY})
        put("noted", "n\n", pax_headers={"SCHILY.xattr.user.note": "grüße"})
        put("trusted", "n\n", pax_headers={"SCHILY.xattr.trusted.note": "t"})
        put("dangling", kind=tarfile.SYMTYPE, linkname="../no/such")
        put("absolute", kind=tarfile.SYMTYPE, linkname="/srv/one", uid=9, gid=9)
        put("far", kind=tarfile.SYMTYPE, linkname="x/" * 70 + "y")
        put("fifo", mode=0o640, kind=tarfile.FIFOTYPE)
        put("null", mode=0o666, kind=tarfile.CHRTYPE, devmajor=1, devminor=3)
        put("block", mode=0o660, kind=tarfile.BLKTYPE, devmajor=7, devminor=300, gid=6)
        put(_LONG, "long\n")
        put(f"kept/below/{_LONG}/{_LONG}", "longer\n")
        put("grüße – 日本", "ü\n")
        put("big-owner", "b\n", uid=3_000_000, gid=4_000_000_000)
        put("sub-second", "s\n", mtime=TIME + 0.25)
        put("large", "0123456789abcdef" * 20000)
        put("empty", "")
    return out.getvalue()


def write(folder: pathlib.Path) -> pathlib.Path:
    """The build context; returns `folder`."""
    (folder / "extra" / "sub").mkdir(parents=True)
    (folder / "Dockerfile").write_text(_DOCKERFILE)
    (folder / "report").write_text(_REPORT)
    (folder / "files.tar").write_bytes(_archive())
    (folder / "extra" / "a").write_text("a\n")
    (folder / "extra" / "sub" / "b").write_text("b\n")
    (folder / "extra" / "sub" / "link").symlink_to("../a")
    for path in (folder / "report", folder / "extra" / "a"):
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return folder


def config() -> dict[str, object]:
    """What the Dockerfile says of the image's configuration, beside the variables of its base."""
    return {
        "Entrypoint": ["/bin/sh", "/opt/report"],
        "Cmd": ["one", "two words"],
        "User": "app:staff",
        "WorkingDir": "/srv/work/place",
        "Labels": {"flavour": "sweet and sour", "with space": "a=b"},
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "Volumes": {"/data": {}},
        "StopSignal": "SIGINT",
    }
