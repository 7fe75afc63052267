"""One store for the attacks of a module: they are many, and a fork server each would cost most of their time."""

from collections.abc import Iterator

import pytest

from tests import conftest, stores
from tests.security import attack


@pytest.fixture(scope="module")
def den() -> Iterator[stores.Store]:
    """A store with busybox, shared by a module; no attack may leave a traceback in its log."""
    with stores.make() as made:
        conftest.put_busybox(made)
        yield made
        attack.clean(attack.fork_log(made))
