"""info: what this engine has and what it runs on."""

from boxship.cli.flags import Call, ClientError, Command
from boxship.cli.render import INSPECT_FORMAT_FLAG
from boxship.cli.streams import err, out

COMMAND = Command("[OPTIONS]", (INSPECT_FORMAT_FLAG,), most=0)


def main(call: Call) -> int:
    from boxship.engine import system
    from boxship.version import __version__

    info = system.info(call.store())
    if call["format"]:
        from boxship.cli.formatted import show_one
        from boxship.cli.template import TemplateError

        client = {"Debug": False, "Context": "default", "Version": __version__, "Plugins": [], "Warnings": None}
        try:
            out(f"{show_one({**info, 'ClientInfo': client}, call['format'])}\n")
        except TemplateError as error:
            raise ClientError(f"template parsing error: template: {error}") from None
        return 0
    from boxship.cli.inforows import info_text

    out(info_text({"Version": __version__}, info))
    err("".join(f"{warning}\n" for warning in info.get("Warnings") or []))
    return 0
