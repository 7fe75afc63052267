"""From the solved plan to the image config document, as BuildKit writes it. Pure.

The history of the base image comes first. Times: a layer's entry has the time its layer was made (a cached one: then),
an entry without a layer that of its neighbour, so a build that changes nothing gives the same image again.
"""

from __future__ import annotations

from boxship.build.solve import EMPTY
from boxship.images.store import created_ns, timestamp
from boxship.oci.config import diff_ids, history_entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from boxship.build import graph
    from boxship.build.solve import Snapshot

COMMENT = "buildkit.dockerfile.v0"


def document(plan: graph.Plan, snapshots: Mapping[int, Snapshot], now: int) -> dict[str, Any]:
    """The image config document. `now` (nanoseconds) is used where no step gives a time."""
    final = EMPTY if plan.target is None else snapshots[plan.target]
    base: Mapping[str, Any] = plan.base.config if plan.base else {}
    times = _times(plan, snapshots, now)
    history = [dict(entry) for entry in base.get("history") or []]
    missing = len(diff_ids(dict(base))) - sum(not entry.get("empty_layer") for entry in history)
    # an image without a history of its own, such as an imported one: every layer needs an entry
    began = times[0] if times else now
    history += [history_entry(timestamp(began), "", comment="") for _ in range(missing)]
    history += [
        history_entry(timestamp(when), step.created_by, comment=COMMENT, empty_layer=step.vertex is None)
        for step, when in zip(plan.history, times, strict=True)
    ]
    created = timestamp(times[-1]) if times else str(base.get("created") or timestamp(now))
    found: dict[str, Any] = {"architecture": plan.architecture}
    if plan.author:
        found["author"] = plan.author
    found |= {"config": dict(plan.config), "created": created, "history": history, "os": plan.os}
    found |= {key: base[key] for key in ("os.version", "os.features") if base.get(key)}
    found["rootfs"] = {"type": "layers", "diff_ids": [layer.diff_id for layer in final.layers]}
    if plan.variant:
        found["variant"] = plan.variant
    return found


def _times(plan: graph.Plan, snapshots: Mapping[int, Snapshot], now: int) -> list[int]:
    """One time for each new history entry: the layer's own, else the one before, else the first that is known."""
    own = [snapshots[step.vertex].created if step.vertex is not None else 0 for step in plan.history]
    base = created_ns(str((plan.base.config if plan.base else {}).get("created") or ""))
    last = next((time for time in own if time), 0) or base or now
    times = []
    for time in own:
        last = time or last
        times.append(last)
    return times
