"""tag: another name for an image."""

from boxship.cli.flags import Call, Command

COMMAND = Command("SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", least=2, most=2)


def main(call: Call) -> int:
    from boxship.engine import images

    images.tag(call.store(), call.args[0], call.args[1])
    return 0
