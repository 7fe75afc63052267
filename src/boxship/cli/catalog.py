"""The table of commands: name, module, one line. Only the module of the command typed is imported.

A command is added here and in `boxship/cli/commands`.
"""

# module -> what it does, one line
SUMMARIES = {
    "attach": "Attach standard input, output and error to a running container",
    "bootstrap": "Make a base image from the host's package sources",
    "build": "Build an image from a Dockerfile",
    "container_inspect": "Display detailed information on one or more containers",
    "container_prune": "Remove all stopped containers",
    "create": "Create a new container",
    "exec": "Execute a command in a running container",
    "history": "Show the history of an image",
    "image_inspect": "Display detailed information on one or more images",
    "image_prune": "Remove unused images",
    "images": "List images",
    "import_": "Make an image from the contents of a tarball",
    "info": "Display system-wide information",
    "inspect": "Return low-level information on objects",
    "kill": "Kill one or more running containers",
    "load": "Load images from a tar archive or STDIN",
    "logs": "Fetch the logs of a container",
    "ps": "List containers",
    "pull": "Download an image from a registry",
    "push": "Upload an image to a registry",
    "rm": "Remove one or more containers",
    "rmi": "Remove one or more images",
    "run": "Create and run a new container from an image",
    "save": "Save one or more images to a tar archive (to STDOUT by default)",
    "start": "Start one or more stopped containers",
    "stop": "Stop one or more running containers",
    "tag": "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    "version": "Show version information",
    "volume_create": "Create a volume",
    "volume_inspect": "Display detailed information on one or more volumes",
    "volume_ls": "List volumes",
    "volume_prune": "Remove unused volumes",
    "volume_rm": "Remove one or more volumes that no container uses",
    "wait": "Block until one or more containers stop, then print their exit codes",
}

# command -> module, where the names differ
COMMANDS = {
    name: name
    for name in [
        "attach",
        "bootstrap",
        "build",
        "create",
        "exec",
        "history",
        "images",
        "info",
        "inspect",
        "kill",
        "load",
        "logs",
        "ps",
        "pull",
        "push",
        "rm",
        "rmi",
        "run",
        "save",
        "start",
        "stop",
        "tag",
        "version",
        "wait",
    ]
}
COMMANDS["import"] = "import_"

# group -> (what it is for, {command: module}, {other name: command})
GROUPS: "dict[str, tuple[str, dict[str, str], dict[str, str]]]" = {
    "container": (
        "Manage containers",
        {
            **{name: name for name in ["attach", "create", "exec", "kill", "logs", "rm", "run", "start", "stop", "wait"]},
            "inspect": "container_inspect",
            "ls": "ps",
            "prune": "container_prune",
        },
        {"list": "ls", "ps": "ls", "remove": "rm"},
    ),
    "image": (
        "Manage images",
        {
            **{name: name for name in ["build", "history", "load", "pull", "push", "save", "tag"]},
            "import": "import_",
            "inspect": "image_inspect",
            "ls": "images",
            "prune": "image_prune",
            "rm": "rmi",
        },
        {"list": "ls", "remove": "rm"},
    ),
    "system": ("Manage the engine", {"info": "info"}, {}),
    "volume": (
        "Manage volumes",
        {name: f"volume_{name}" for name in ("create", "inspect", "ls", "prune", "rm")},
        {"list": "ls", "remove": "rm"},
    ),
}

# Docker's other commands, so that their names are not called unknown
NOT_YET = frozenset(
    [
        "builder",
        "buildx",
        "checkpoint",
        "commit",
        "compose",
        "config",
        "context",
        "cp",
        "diff",
        "events",
        "export",
        "login",
        "logout",
        "manifest",
        "network",
        "node",
        "pause",
        "plugin",
        "port",
        "rename",
        "restart",
        "search",
        "secret",
        "service",
        "stack",
        "stats",
        "swarm",
        "top",
        "trust",
        "unpause",
        "update",
    ]
)
