"""From what the user typed to an image of the store. On the hot path: the rest of what images do is in engine.images."""

from boxship.errors import InvalidArgument, InvalidReference, NotFound
from boxship.oci import reference as references
from boxship.state import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.state.db import Db
    from boxship.state.images import Image

_HEX = "0123456789abcdef"


def find(db: "Db", name: str) -> "Image | None":
    """By name, id, unique id prefix or digest; None when there is none. Raises InvalidReference, InvalidArgument (ambiguous)."""
    prefix = name.removeprefix("sha256:")
    is_id = 0 < len(prefix) <= 64 and all(character in _HEX for character in prefix)
    if is_id and (len(prefix) == 64 or name.startswith("sha256:")):
        return _by_id(db, prefix, name)
    try:
        reference = references.parse(name)
    except InvalidReference:
        if is_id:
            return _by_id(db, prefix, name)
        raise
    image = _by_reference(db, reference)
    if image is None and is_id:
        image = _by_id(db, prefix, name)
    return image


def _by_reference(db: "Db", reference: references.Reference) -> "Image | None":
    if reference.digest:
        return images.by_repo_digest(db, reference.name, reference.digest)
    return images.by_reference(db, str(reference.with_default_tag()))


def _by_id(db: "Db", prefix: str, name: str) -> "Image | None":
    found = images.by_id_prefix(db, prefix)
    if len(found) > 1:
        raise InvalidArgument(f"ambiguous image id: {name}", hint="give more of its digits")
    return found[0] if found else None


def must(db: "Db", name: str) -> "Image":
    """Raises NotFound in Docker's words."""
    image = find(db, name)
    if image is None:
        raise NotFound(f"No such image: {name}")
    return image
