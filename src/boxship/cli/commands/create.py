"""create: a container that waits to be started. What run and create share is here. Hot path."""

import os

from boxship.cli.containerflags import CREATE_FLAGS, CreateRequest, create_request
from boxship.cli.flags import Call, ClientError, Command
from boxship.cli.streams import err, out
from boxship.engine import containers, imagefind
from boxship.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.engine.containers import Created
    from boxship.engine.store import Store
    from boxship.state.images import Image

COMMAND = Command("[OPTIONS] IMAGE [COMMAND] [ARG...]", CREATE_FLAGS, least=1, interspersed=False, framed=True)


def main(call: Call) -> int:
    request = create_request(call)
    store = call.store()
    created = make(store, request, start=False)
    out(f"{created.id}\n")
    return 0


def make(store: "Store", request: CreateRequest, *, start: bool) -> "Created":
    """The container of a request, its image pulled where the policy says so, the --cidfile written."""
    path = request.host_config.get("ContainerIDFile") or ""
    if path and os.path.exists(path):
        raise ClientError(f"container ID file found, make sure the other container isn't running or delete {path}")
    image = _image(store, request)
    _check_platform(image, request.platform)
    created = containers.create(
        store, image, request.config["Image"], request.name, request.config, request.host_config, start=start
    )
    for warning in created.warnings:
        err(f"WARNING: {warning}\n")
    if path:
        _write_id(store, path, created.id)
    return created


def _write_id(store: "Store", path: str, container_id: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except OSError as error:
        containers.discard(store, container_id)
        raise ClientError(f"failed to create the container ID file: open {path}: {os.strerror(error.errno or 0).lower()}") from None
    os.write(fd, container_id.encode())
    os.close(fd)


def _image(store: "Store", request: CreateRequest) -> "Image":
    name = request.config["Image"]
    image = None if request.pull == "always" else imagefind.find(store.db, name)
    if image is not None:
        return image
    if request.pull == "never":
        return imagefind.must(store.db, name)
    from boxship.cli.progress import reporter
    from boxship.engine import images
    from boxship.oci import reference as references

    if request.pull == "missing" and not request.quiet:
        err(f"Unable to find image '{references.parse(name).with_default_tag().familiar()}' locally\n")
    progress = None if request.quiet else reporter(2)
    images.pull(store, name, platform=request.platform or None, progress=progress)
    return imagefind.must(store.db, name)


def _check_platform(image: "Image", wanted: str) -> None:
    if not wanted:
        return
    from boxship import fastjson
    from boxship.oci.platform import Platform

    config = fastjson.loads(image.config)
    has = Platform(config.get("os") or "linux", config.get("architecture") or "", config.get("variant") or "")
    if not has.satisfies(Platform.parse(wanted).with_defaults()):
        raise InvalidArgument(
            f"image was found but its platform ({has}) does not match the specified platform ({wanted})",
            hint="--pull always gets the other one, where the registry has it",
        )
