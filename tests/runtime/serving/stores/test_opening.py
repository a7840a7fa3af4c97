"""Which store a text names, and what is said if it cannot be opened."""

from pathlib import Path

import pytest
from tidegate.runtime.errors import BackendError, ServerError
from tidegate.runtime.serving.stores.folder import FolderStore
from tidegate.runtime.serving.stores.opening import open_store
from tools.redis_server import redis_server


def test_a_path_is_a_folder_and_a_url_is_redis(tmp_path: Path) -> None:
    assert isinstance(open_store(str(tmp_path / "store")), FolderStore)
    assert (tmp_path / "store/streams").is_dir()
    with redis_server(tmp_path) as (_, url):
        assert type(open_store(url)).__name__ == "RedisStore"


def test_a_server_that_does_not_answer_and_a_url_that_is_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="no Redis server answers"):
        open_store(f"unix://{tmp_path}/none.sock")
    with pytest.raises(ServerError, match="no Redis server answers"):
        open_store("http://bucket")


def test_a_package_that_is_missing_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.runtime.serving.stores.opening.find_spec", lambda _name: None)
    with pytest.raises(BackendError, match=r"pip install 'tidegate\[serve\]'"):
        open_store("redis://127.0.0.1:1")
    with pytest.raises(BackendError, match=r"^obstore is not installed; run: pip install 'tidegate\[serve,s3\]'"):
        open_store("s3://bucket")
