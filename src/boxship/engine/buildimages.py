"""The images that FROM and COPY --from name: found in the store, or pulled."""

from __future__ import annotations

from boxship.build.graph import BaseImage
from boxship.errors import InvalidArgument, NotFound, Unsupported
from boxship.fastjson import loads
from boxship.oci import reference as references
from boxship.oci.config import diff_ids
from boxship.oci.platform import host
from boxship.state import images as rows
from boxship.state import layers as layer_rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxship.build.progress import Progress
    from boxship.engine.store import Store
    from boxship.oci.reference import Reference


def base(store: Store, name: str, pull: bool, progress: Progress) -> BaseImage:
    """The image `name` means. Raises InvalidArgument, NotFound, RegistryError, Unsupported."""
    reference = _parse(name)
    with progress.start(f"[internal] load metadata for {reference}") as step:
        found = None if pull else _complete(store, reference)
        if found is None:
            from boxship.engine import images

            # the registry's layers are pulled here: from then on the build needs nothing from outside
            images.pull(store, str(reference), progress=lambda document: step.status(_line(document)) if _says(document) else None)
            found = _complete(store, reference)
        if found is None:
            raise NotFound(f"No such image: {reference.familiar()}", hint=f"pull {reference.familiar()} and build again")
        return _checked(*found, reference)


def _parse(name: str) -> Reference:
    try:
        return references.parse(name).with_default_tag()
    except InvalidArgument as error:
        raise InvalidArgument(f'failed to parse stage name "{name}": {error.message}', hint=error.hint) from None


def find(store: Store, reference: Reference) -> rows.Image | None:
    """The image in the store whose layers are all here."""
    found = _complete(store, reference)
    return found[0] if found else None


def _complete(store: Store, reference: Reference) -> tuple[rows.Image, dict[str, Any], tuple[str, ...]] | None:
    """The image, its config document and the chain IDs of its layers, base first; None when a layer is missing."""
    found = rows.by_reference(store.db, str(reference))
    if found is None and reference.digest:
        found = rows.by_repo_digest(store.db, reference.name, reference.digest)
    if found is None:
        return None
    document = loads(found.config)
    # the rows know the chain IDs: nothing has to be hashed for them
    layers = layer_rows.of_image(store.db, found.id)
    if [layer.diff_id for layer in layers] != diff_ids(document):
        return None
    return found, document, tuple(layer.chain_id for layer in layers)


def _checked(image: rows.Image, document: dict[str, Any], chains: tuple[str, ...], reference: Reference) -> BaseImage:
    own = host()
    have = (str(document.get("os") or own.os), str(document.get("architecture") or own.architecture))
    if have != (own.os, own.architecture):
        message = f"building on an image of another platform is not supported yet: {'/'.join(have)}"
        raise Unsupported(message, hint=f"this machine is {own}")
    return BaseImage(str(reference), image.id, document, chains)


def _says(document: dict[str, object]) -> bool:
    return bool(document.get("id")) and not document.get("progressDetail")


def _line(document: dict[str, object]) -> str:
    return f"{document['id']} {str(document['status']).lower()}"
