"""Import: the tar of a file system becomes an image of one layer."""

from typing import IO, Any

from boxship.images import store as images
from boxship.images.pull import scratch
from boxship.images.unpack import unpack
from boxship.oci.config import history_entry
from boxship.oci.platform import Platform, host
from boxship.state.db import now


class _Stream:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int, /) -> bytes:
        return self._file.read(size)

    def close(self) -> None:
        pass  # the caller's


def import_tar(
    store: images.Store,
    source: IO[bytes],
    config: dict[str, Any],
    *,
    message: str = "",
    author: str = "",
    reference: str | None = None,
    platform: Platform | None = None,
) -> str:
    """Unpack a tar (plain or compressed), store it as an image, name it; returns the image's ID.

    Raises InvalidArgument for what is no tar. The layer's diff ID is that of the tar which diff makes of it, so nothing
    of the source has to be kept.
    """
    created = images.timestamp(now())
    with images.content(store).hold(), scratch(store, "import") as folder:
        unpacked = unpack(_Stream(source), f"{folder}/root", [], ("gzip", "zstd", "bzip2", "xz"))
        layer = images.add_built_layer(store, unpacked.path, None)
        machine = (platform or Platform()).with_defaults()
        document: dict[str, Any] = {"architecture": machine.architecture, "os": machine.os}
        if machine.variant and machine.architecture != host().architecture:
            document["variant"] = machine.variant
        document |= {"config": config, "created": created}
        if author:
            document["author"] = author
        document["comment"] = message
        document["history"] = [history_entry(created, "", comment=message)]
        document["rootfs"] = {"type": "layers", "diff_ids": [layer.diff_id]}
        return images.put_built(store, document, [reference] if reference else [])
