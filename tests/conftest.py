from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# No test times a clock; and a contract's test runs in every class that inherits it, which hypothesis takes for a mistake.
settings.register_profile("samespace", deadline=None, suppress_health_check=[HealthCheck.differing_executors])
settings.load_profile("samespace")
# handmade.py, tiny_models.py and stand_in.py, for every suite that needs a small index, a small model or a server
sys.path += [str(Path(__file__).parent / name) for name in ("index", "encoders")]
_numbers = count()

_FIRST = ("test_readme.py", "test_faults.py", "test_kill.py", "test_writer.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest test comes first, so that the other processes work beside it; then those that fork: a child of a
    process in which torch has started threads can hang."""
    items.sort(key=lambda item: _FIRST.index(item.path.name) if item.path.name in _FIRST else len(_FIRST))


@pytest.fixture(autouse=True)
def _no_users_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, no server of the user's environment; and what another test named is not named here."""
    for name in ("SAMESPACE_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL", "SAMESPACE_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("core.encoders.server._named", set())
    monkeypatch.setattr("core.encoders.remote.BACKOFF", 0.0)  # no test waits


@pytest.fixture(scope="session", autouse=True)
def _no_users_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fixtures of a wider scope than a test's stay out of the user's cache as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMESPACE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture(autouse=True)
def cache(_no_users_cache: None, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test's own. It does not exist yet."""
    folder = tmp_path_factory.getbasetemp() / "caches" / str(next(_numbers))
    monkeypatch.setenv("SAMESPACE_CACHE", str(folder))
    return folder
