"""A topic of an MQTT broker as a source."""

from collections import deque
from collections.abc import Iterator
from typing import Any

from ...errors import BackendError
from .bytes_of_rows import Note, message_blocks, quiet
from .pcm import Form
from .source import Block

PATIENCE = 0.2  # seconds after which a read looks whether it was stopped


class Mqtt:
    """Rows from the messages of a topic, each message some whole rows, raw or as text.

    Args:
        host: The broker.
        port: Its port.
        topic: What to subscribe to; it may have wildcards.
        form: How the numbers are written.
        rate: Rows per second.
        user: Name and password; None: none.
        note: Takes what is odd.

    Raises:
        BackendError: paho-mqtt is not installed.
    """

    waits, comes = False, True

    def __init__(  # noqa: PLR0917  made by `open_source`
        self,
        host: str,
        port: int,
        topic: str,
        form: Form,
        rate: float | None = None,
        user: tuple[str, str] | None = None,
        note: Note = quiet,
    ) -> None:
        try:
            import paho.mqtt.client
        except ImportError:
            raise BackendError("MQTT needs paho-mqtt; pip install 'tidegate[live]'") from None
        self._paho: Any = paho.mqtt.client
        self.name, self.rate, self._form, self._note = f"mqtt://{host}:{port}/{topic}", rate, form, note
        self._address, self._topic, self._user = (host, port), topic, user
        self._messages: deque[bytes] = deque()
        self._refused = ""
        self._closed = False

    def blocks(self, rows: int) -> Iterator[Block]:  # noqa: ARG002  a message is a block
        """Connect and give the rows in order of arrival; see `Source.blocks`."""
        at, client = 0, self._client()
        try:
            client.connect(*self._address)
        except OSError as error:
            raise OSError(f"{self.name}: no broker answers there ({error})") from None
        try:
            while not self._closed:
                status = client.loop(PATIENCE)
                while self._messages:
                    for block in message_blocks(self._messages.popleft(), at, self._form, self.name, self._note):
                        yield block
                        at = block.at + len(block.rows)
                if self._refused or status:
                    raise OSError(f"{self.name}: {self._refused or self._paho.error_string(status)}")
        finally:
            client.disconnect()

    def close(self) -> None:
        """Take no more messages."""
        self._closed = True

    def _client(self) -> Any:  # noqa: ANN401  imported where it is needed
        self._refused = ""
        client = self._paho.Client(self._paho.CallbackAPIVersion.VERSION2)
        if self._user is not None:
            client.username_pw_set(*self._user)
        client.on_connect = self._connected
        client.on_subscribe = self._subscribed
        client.on_message = lambda _client, _data, message: self._messages.append(message.payload)
        return client

    def _connected(self, client: Any, _data: object, _flags: object, reason: Any, _properties: object) -> None:  # noqa: ANN401
        if reason.is_failure:
            self._refused = f"the broker refuses: {reason}"
        else:
            client.subscribe(self._topic)

    def _subscribed(self, _client: object, _data: object, _id: int, reasons: Any, _properties: object) -> None:  # noqa: ANN401
        if reasons[0].is_failure:
            self._refused = f"the broker refuses the topic: {reasons[0]}"
