"""A store in Redis, for servers on several machines: a hash per stream, changed by scripts that nothing interrupts."""

from typing import Any

import redis

from ...errors import ServerError
from .store import Claim, StoreError, place_of

PREFIX = "tidegate:"
PATIENCE = 5.0  # seconds for an answer

# Each script gets the key of a stream, and then its arguments; a key that is not written for so long is forgotten.
# An epoch of a new stream is the time in microseconds: above those of a stream of its name that was forgotten.
CLAIM = """
local before = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0')
if ARGV[1] == '0' and before == 0 then return false end
local now = redis.call('TIME')
local epoch = before > 0 and before + 1 or tonumber(now[1]) * 1000000 + tonumber(now[2])
redis.call('HSET', KEYS[1], 'epoch', string.format('%.0f', epoch))
if ARGV[1] == '1' then redis.call('HDEL', KEYS[1], 'record') end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return {string.format('%.0f', epoch), string.format('%.0f', before), redis.call('HGET', KEYS[1], 'record') or ''}
"""
PUT = """
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'record', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""
DROP = "if redis.call('HGET', KEYS[1], 'epoch') == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class RedisStore:
    """Records in a Redis server.

    A record outlives Redis as its own settings say: `appendonly yes` keeps what was written up to the last second.

    Args:
        url: Where it is: `redis://[user:password@]host:port/database`, `rediss://` for TLS, `unix://path`.
        seconds: It forgets a stream that was not stored for so long.

    Raises:
        ServerError: The URL is none, or the server does not answer.
    """

    def __init__(self, url: str, seconds: float = 86400.0) -> None:
        self._seconds = max(int(seconds), 1)
        try:
            self._client: Any = redis.Redis.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)
            self._client.ping()
        except (redis.RedisError, ValueError) as error:
            where = url.rpartition("@")[2]  # without a password
            raise ServerError(f"{where}: no Redis server answers ({error}); start it, or name another") from None
        self._claim, self._put, self._drop = map(self._client.register_script, (CLAIM, PUT, DROP))

    def claim(self, key: str, *, fresh: bool) -> Claim | None:
        """Become the owner of a stream, as `Store.claim` says."""
        found = self._call(self._claim, key, int(fresh), self._seconds)
        return found and Claim(int(found[0]), int(found[1]), bytes(found[2]))

    def put(self, key: str, epoch: int, record: bytes) -> bool:
        """Store a record, as `Store.put` says."""
        return bool(self._call(self._put, key, epoch, record, self._seconds))

    def drop(self, key: str, epoch: int) -> None:
        """Forget a stream, as `Store.drop` says."""
        self._call(self._drop, key, epoch)

    def purge(self, seconds: float) -> int:  # noqa: ARG002  the interface
        """Do nothing: Redis itself forgets streams that were left long ago."""
        return 0

    def _call(self, script: Any, key: str, *arguments: object) -> Any:  # noqa: ANN401  redis answers what a script returns
        try:
            return script(keys=[PREFIX + place_of(key)], args=arguments)
        except redis.RedisError as error:
            raise StoreError(f"Redis: {error}") from None
