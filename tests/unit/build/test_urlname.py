"""The name of what ADD fetches."""

import pytest

from boxship.build.urlname import url_name
from tests.tables import rows


@pytest.mark.parametrize("row", rows("dockerfile/add_url_name"))
def test_table(row: dict) -> None:
    assert url_name(row["url"], row["content_disposition"]) == row["expect"]["file_name"]


@pytest.mark.parametrize("url", ["https://a/..", "https://a/x/%2e%2e", "https://a/.", "https://a/x%2f..", "https://a/%00", "http://[a"])
def test_no_name_leaves_the_folder(url: str) -> None:
    assert url_name(url) == ""
    assert url_name(url, 'attachment; filename="../.."') == ""
    assert url_name(url, "attachment; filename=x") == "x"
