"""Removing images by Docker's rules: a name first, the image when it was the last name, never under a running container.

rmi NAME   the last name, a container uses the image    refused unless forced
rmi NAME   one of several names                         that name only
rmi ID     names in several repositories                refused unless forced
rmi ID     a stopped container uses it                  refused unless forced
either     a running container uses it                  refused, also by force (by NAME the name goes)
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from boxship.errors import Conflict
from boxship.images import store as images
from boxship.oci import digest as digests
from boxship.oci.reference import Reference, parse
from boxship.state import images as image_rows
from boxship.state.db import transaction

if TYPE_CHECKING:
    from boxship.state.db import Db
    from boxship.state.images import Image

Record = dict[str, str]
Running = Callable[[str], bool]
_FORCE_HINT = "-f removes it all the same"


class _Names:
    """The tags of an image and the digests repositories know it by, as Docker's reference store holds both."""

    def __init__(self, db: "Db", image_id: str) -> None:
        texts = image_rows.references(db, image_id)
        self.tags = [parse(text) for text in texts if "@" not in text]
        by_digest = {text for text in texts if "@" in text}
        by_digest.update(f"{repository}@{digest}" for repository, digest in image_rows.repo_digests(db, image_id))
        self.digests = [parse(text) for text in sorted(by_digest)]

    @property
    def all(self) -> list[Reference]:
        return [*self.tags, *self.digests]

    def single(self) -> bool:
        """At most one tag, and all digests in the same repository."""
        if len(self.all) <= 1:
            return True
        if len(self.tags) > 1:
            return False
        repositories = {name.name for name in self.digests}
        return repositories == {(self.tags or self.digests)[0].name}


def remove(store: images.Store, row: "Image", name: str, force: bool, running: Running) -> list[Record]:
    """Remove what `name` (a name, ID or prefix) stands for; Docker's records, {"Untagged"} and {"Deleted"}. Raises Conflict.

    `running` tells of a container's ID whether it runs. A forced removal under a stopped container only untags: the
    container needs the layers.
    """
    with transaction(store.db) as db:
        records, gone = _remove_rows(db, row, name, force, running)
    if gone:
        records += [{"Deleted": chain} for chain in images.sweep(store).chains]
    return records


def _remove_rows(db: "Db", row: "Image", name: str, force: bool, running: Running) -> tuple[list[Record], bool]:
    names = _Names(db, row.id)
    users = image_rows.users(db, row.id)
    busy = [user for user in users if running(user)]
    records: list[Record] = []
    if is_id(row.id, name):
        _check_id(row, names, users, busy, force)
        records += [_untag(db, row, one) for one in names.all]
    else:
        if users and not force and names.single():
            raise Conflict(
                f'conflict: unable to remove repository reference "{name}" (must force) - container {users[0][:12]} is using its '
                f"referenced image {digests.short(row.id)}",
                hint=f"remove the container first, or {_FORCE_HINT}",
            )
        records += _untag_name(db, row, parse(name), names)
        if _Names(db, row.id).all:
            return records, False
    if users:
        return records, False  # the image lives on without a name as long as a container needs it
    image_rows.remove(db, row.id)
    return [*records, {"Deleted": row.id}], True


def is_id(image_id: str, name: str) -> bool:
    """Docker's test: what was typed is a prefix of the ID, with or without its algorithm."""
    return bool(name) and (image_id.startswith(name) or digests.encoded(image_id).startswith(name))


def _check_id(row: "Image", names: _Names, users: list[str], busy: list[str], force: bool) -> None:
    if busy:
        raise _conflict(row, "cannot be forced", f"image is being used by running container {busy[0][:12]}")
    if force:
        return
    if not names.single():
        raise _conflict(row, "must be forced", "image is referenced in multiple repositories")
    if users:
        raise _conflict(row, "must be forced", f"image is being used by stopped container {users[0][:12]}")


def _conflict(row: "Image", how: str, why: str) -> Conflict:
    hint = "stop and remove the container first" if how == "cannot be forced" else _FORCE_HINT
    return Conflict(f"conflict: unable to delete {digests.short(row.id)} ({how}) - {why}", hint=hint)


def _untag_name(db: "Db", row: "Image", asked: Reference, names: _Names) -> list[Record]:
    """Take one name away, and with the last tag of a repository its digests."""
    asked = asked if asked.digest else asked.with_default_tag()
    records = [_untag(db, row, asked)]
    if asked.digest:
        return records
    rest = {tag.name for tag in names.tags if tag != asked}
    if asked.name not in rest:
        records += [_untag(db, row, one) for one in names.digests if one.name == asked.name]
    return records


def _untag(db: "Db", row: "Image", name: Reference) -> Record:
    image_rows.untag(db, str(name))
    if name.digest:
        others = [pair for pair in image_rows.repo_digests(db, row.id) if pair[0] == name.name and pair[1] != name.digest]
        image_rows.remove_repo_digests(db, name.name, row.id)
        for repository, digest in others:
            image_rows.add_repo_digest(db, repository, digest, row.id)
    return {"Untagged": name.familiar()}
