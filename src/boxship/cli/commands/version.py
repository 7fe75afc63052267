"""version: of this program and of the API whose documents it speaks."""

from boxship.cli.flags import Call, ClientError, Command
from boxship.cli.render import INSPECT_FORMAT_FLAG
from boxship.cli.streams import out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMMAND = Command("[OPTIONS]", (INSPECT_FORMAT_FLAG,), most=0)


def main(call: Call) -> int:
    from boxship.engine import system

    server = system.version()
    client = client_version(server)
    if call["format"]:
        from boxship.cli.formatted import show_one
        from boxship.cli.template import TemplateError

        try:
            out(f"{show_one({'Client': client, 'Server': server}, call['format'])}\n")
        except TemplateError as error:
            raise ClientError(f"template parsing error: template: {error}") from None
        return 0
    from boxship.cli.inforows import version_text

    out(version_text(client, server))
    return 0


def client_version(server: "dict[str, Any]") -> "dict[str, Any]":
    """Client and engine are one program: the same numbers, in the client's form."""
    import sys

    from boxship.version import API_VERSION, __version__

    return {
        "Version": __version__,
        "ApiVersion": API_VERSION,
        "DefaultAPIVersion": API_VERSION,
        "PythonVersion": ".".join(str(part) for part in sys.version_info[:3]),
        "Os": server.get("Os", "linux"),
        "Arch": server.get("Arch", ""),
        "Context": "default",
    }
