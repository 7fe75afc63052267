"""volume create"""

from boxship.cli.flags import BYTES, KEYS, LATER, LIST, STRING, Call, Command
from boxship.cli.streams import out

_LABEL = ("list", 1, "label")

COMMAND = Command(
    "[OPTIONS] [VOLUME]",
    (
        ("availability", "", STRING, "", "Of a cluster volume", LATER),
        ("driver", "d", STRING, "local", "Volume driver"),
        ("group", "", STRING, "", "Of a cluster volume", LATER),
        ("label", "", _LABEL, (), "Set metadata on the volume"),
        ("limit-bytes", "", BYTES, 0, "Of a cluster volume", LATER),
        ("name", "", STRING, "", "", "hidden"),
        ("opt", "o", KEYS, (), "Options of the driver (default map[])"),
        ("required-bytes", "", BYTES, 0, "Of a cluster volume", LATER),
        ("scope", "", STRING, "", "Of a cluster volume", LATER),
        ("secret", "", KEYS, (), "Of a cluster volume", LATER),
        ("sharing", "", STRING, "", "Of a cluster volume", LATER),
        ("topology-preferred", "", LIST, (), "Of a cluster volume", LATER),
        ("topology-required", "", LIST, (), "Of a cluster volume", LATER),
        ("type", "", STRING, "", "Of a cluster volume", LATER),
    ),
    most=1,
)


def main(call: Call) -> int:
    from boxship.cli.envfiles import read_labels
    from boxship.cli.flags import ClientError
    from boxship.engine import volumes

    if call.args and call["name"]:
        raise ClientError("conflicting options: cannot specify a volume name through both --name and as a positional arg")
    name = call.args[0] if call.args else call["name"]
    volume = volumes.create(call.store(), name, call["driver"], call["opt"], read_labels([], call["label"]))
    out(f"{volume['Name']}\n")
    return 0
