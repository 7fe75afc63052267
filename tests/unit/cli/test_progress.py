import io

from boxship.cli.progress import _Lines, bar, reporter

DOCUMENTS = [
    {"status": "Pulling from library/x", "id": "latest"},
    {"status": "Pulling fs layer", "id": "aaa"},
    {"status": "Pulling fs layer", "id": "bbb"},
    {"status": "Downloading", "id": "aaa", "progressDetail": {"current": 500, "total": 1000}},
    {"status": "Downloading", "id": "aaa", "progressDetail": {"current": 900, "total": 1000}},
    {"status": "Pull complete", "id": "aaa", "progressDetail": {}},
    {"status": "Pull complete", "id": "aaa"},
    {"status": "Digest: sha256:1"},
]


def test_plain_says_each_change_once():
    out = io.StringIO()
    show = reporter(out)
    for document in DOCUMENTS:
        show(document)
    assert out.getvalue() == (
        "latest: Pulling from library/x\naaa: Pulling fs layer\nbbb: Pulling fs layer\naaa: Pull complete\nDigest: sha256:1\n"
    )


def screen(text):
    """The lines that a terminal shows after `text`, for the three control sequences used."""
    lines, row, position = [""], 0, 0
    while position < len(text):
        if text[position] == "\x1b":
            end = position + 2
            while text[end].isdigit():
                end += 1
            number = int(text[position + 2 : end])
            if text[end] == "A":
                row -= number
            elif text[end] == "B":
                row += number
            else:
                assert text[position : end + 1] == "\x1b[2K"
                lines[row] = ""
            position = end + 1
            continue
        if text[position] == "\n":
            row += 1
            if row == len(lines):
                lines.append("")
        elif text[position] != "\r":
            lines[row] += text[position]
        position += 1
    return lines


def test_each_layer_has_its_line():
    out = io.StringIO()
    shower = _Lines(out)
    for document in DOCUMENTS[:4]:
        shower.show(document)
    assert screen(out.getvalue()) == [
        "latest: Pulling from library/x", "aaa: Downloading     500B/1kB", "bbb: Pulling fs layer", "",
    ]  # fmt: skip
    for document in DOCUMENTS[4:]:
        shower.show(document)
    assert screen(out.getvalue()) == [
        "latest: Pulling from library/x", "aaa: Pull complete", "bbb: Pulling fs layer", "Digest: sha256:1", "",
    ]  # fmt: skip


def test_bar():
    assert bar({}, 200) == ""
    assert bar({"current": 500, "total": 1000}, 200) == "[" + "=" * 25 + ">" + " " * 24 + "]     500B/1kB"
    assert bar({"current": 1000, "total": 1000}, 200).startswith("[" + "=" * 50 + "]")
    assert bar({"current": 1000}, 200) == "     1kB"
    assert bar({"current": 2000, "total": 1000}, 200) == "     2kB"
