"""The store of a module, with busybox in it."""

from collections.abc import Iterator

import pytest

from tests import stores
from tests.conftest import put_busybox


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stores.Store]:
    # an empty configuration: its name marks the processes of this store
    config = tmp_path_factory.mktemp("faults") / "boxship.toml"
    config.write_text("")
    with stores.make(BOXSHIP_CONFIG=str(config)) as made:
        put_busybox(made)
        yield made
