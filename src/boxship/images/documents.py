"""The documents that Docker's API shows of images: list, inspect, history. Rows in, dicts out."""

import json
from typing import TYPE_CHECKING, Any

from boxship.errors import InvalidArgument
from boxship.images import store as images
from boxship.oci import config as configs
from boxship.oci.reference import matches, parse
from boxship.state import images as image_rows
from boxship.state import layers as layer_rows

if TYPE_CHECKING:
    from boxship.state.images import Image

_FILTERS = ("before", "dangling", "label", "reference", "since", "until")
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))


def repo_tags(references: list[str]) -> list[str]:
    """Familiar names with a tag; names by digest are no tags."""
    return [parse(reference).familiar() for reference in references if "@" not in reference]


def repo_digests(references: list[str], pairs: list[tuple[str, str]]) -> list[str]:
    known = {f"{parse(repository).familiar_name}@{digest}" for repository, digest in pairs}
    known.update(parse(reference).familiar() for reference in references if "@" in reference)
    return sorted(known)


def summary(row: "Image", references: list[str], pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """An entry of GET /images/json."""
    config = json.loads(row.config)
    return {
        "Containers": -1,
        "Created": row.created // 1_000_000_000,
        "Id": row.id,
        "Labels": (config.get("config") or {}).get("Labels"),
        "ParentId": "",
        "RepoDigests": repo_digests(references, pairs),
        "RepoTags": repo_tags(references),
        "SharedSize": -1,
        "Size": row.size,
    }


def inspect(store: images.Store, row: "Image") -> dict[str, Any]:
    """GET /images/NAME/json."""
    config = json.loads(row.config)
    references = image_rows.references(store.db, row.id)
    layers = [f"{store.paths.layers}/{layer.dir}" for layer in layer_rows.of_image(store.db, row.id)]
    data = {"UpperDir": layers[-1]} if layers else {}
    if len(layers) > 1:
        data = {"LowerDir": ":".join(reversed(layers[:-1])), **data}
    out: dict[str, Any] = {
        "Id": row.id,
        "RepoTags": repo_tags(references),
        "RepoDigests": repo_digests(references, image_rows.repo_digests(store.db, row.id)),
        "Parent": "",
        "Comment": config.get("comment") or _last_comment(config),
        "Created": config.get("created") or "",
        "DockerVersion": config.get("docker_version") or "",
        "Author": config.get("author") or "",
        "Config": config.get("config") or {},
        "Architecture": config["architecture"],
        "Os": config["os"],
        "Size": row.size,
        "GraphDriver": {"Data": data, "Name": "overlay2"},
        "RootFS": {"Type": "layers", "Layers": configs.diff_ids(config)},
        "Metadata": {"LastTagTime": images.timestamp(row.stored)},
    }
    for name, key in (("variant", "Variant"), ("os.version", "OsVersion")):
        if config.get(name):
            out[key] = config[name]
    return out


def _last_comment(config: dict[str, Any]) -> str:
    history = config.get("history") or []
    return str(history[-1].get("comment") or "") if history else ""


def history(store: images.Store, row: "Image") -> list[dict[str, Any]]:
    """GET /images/NAME/history: newest first; only the last step has the image's ID and tags."""
    config = json.loads(row.config)
    layers = layer_rows.of_image(store.db, row.id)
    out = []
    for entry, place in configs.pair_history(config):
        out.append(
            {
                "Id": "<missing>",
                "Created": images.created_ns(entry.get("created") or "") // 1_000_000_000,
                "CreatedBy": entry.get("created_by") or "",
                "Tags": None,
                "Size": layers[place].size if place is not None and place < len(layers) else 0,
                "Comment": entry.get("comment") or "",
            }
        )
    out.reverse()
    if out:
        out[0] |= {"Id": row.id, "Tags": repo_tags(image_rows.references(store.db, row.id)) or None}
    return out


# - filters --------------------------------------------------------------------------------------------------------------


def check_filters(filters: dict[str, list[str]]) -> None:
    for name in filters:
        if name not in _FILTERS:
            raise InvalidArgument(f"invalid filter '{name}'", hint=f"one of: {', '.join(_FILTERS)}")


def boolean(filters: dict[str, list[str]], name: str) -> bool | None:
    """A filter that is true or false; None when it is not given. Raises InvalidArgument."""
    values = filters.get(name)
    if not values:
        return None
    if all(value in _TRUE for value in values):
        return True
    if all(value in _FALSE for value in values):
        return False
    raise InvalidArgument(f"invalid filter '{name}={values[0]}'")


def has_labels(labels: dict[str, str] | None, wanted: list[str]) -> bool:
    """Every `key` or `key=value` holds."""
    for term in wanted:
        key, equals, value = term.partition("=")
        if key not in (labels or {}) or (equals and (labels or {})[key] != value):
            return False
    return True


def by_reference(references: list[str], patterns: list[str]) -> list[str]:
    """Those names that one of the patterns matches. Raises InvalidArgument for a malformed pattern."""
    return [name for name in references if any(matches(parse(name), pattern) for pattern in patterns)]
