"""What the entry of a hard link says beside its name."""

import io
import os
import pathlib
import tarfile

import pytest

from boxship.layers.diff import tar_stream


def test_a_link_repeats_the_attributes_of_its_file(tmp_path: pathlib.Path) -> None:
    """Docker gives a linked file its owner anew, and the kernel then takes its capabilities away, unless the entry has them."""
    (tmp_path / "a").write_text("x")
    try:
        os.setxattr(tmp_path / "a", "user.note", b"n")
    except OSError:
        pytest.skip("this machine cannot keep extended attributes in its temporary folder")
    os.link(tmp_path / "a", tmp_path / "b")
    os.symlink("a", tmp_path / "c")
    os.link(tmp_path / "c", tmp_path / "d", follow_symlinks=False)
    with tarfile.open(fileobj=io.BytesIO(tar_stream(str(tmp_path)).read())) as tar:
        found = {entry.name: (entry.type, entry.linkname, entry.pax_headers) for entry in tar}
    note = {"SCHILY.xattr.user.note": "n"}
    assert found == {
        "a": (tarfile.REGTYPE, "", note),
        "b": (tarfile.LNKTYPE, "a", note),
        "c": (tarfile.SYMTYPE, "a", {}),
        "d": (tarfile.LNKTYPE, "c", {}),
    }
