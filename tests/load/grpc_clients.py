"""Clients of the gRPC door: one connection, and one streaming call, for each stream.

Requests are made and replies are cut by hand, so that the generator does not spend its time on protobuf's objects.
"""

import asyncio
from typing import Any

import grpc
from load.traffic import CASE, Record
from tidegate.runtime.serving.doors.oip_messages import SERVICE, message

ANSWER = b"\x12"  # the tag that a reply begins with, if it is no error
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


class GrpcClients:
    """A client for each stream.

    Args:
        record: Takes the answers.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._queues: list[asyncio.Queue[bytes]] = []
        self._channels: list[Any] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self, port: int) -> None:
        """Connect all clients."""
        for stream in range(self._record.traffic.streams):
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", OWN_CONNECTION)
            await channel.channel_ready()
            call, queue = channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")(), asyncio.Queue[bytes]()
            self._channels.append(channel)
            self._queues.append(queue)
            self._tasks += [asyncio.create_task(one) for one in (self._write(call, queue), self._read(call, stream))]

    def send(self, stream: int, chunk: int) -> None:
        """Send a chunk; the door reads on when the stream's window has room."""
        self._queues[stream].put_nowait(infer_request(self._record, stream, chunk))

    async def close(self) -> None:
        """Close all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for channel in self._channels:
            await channel.close()

    async def _write(self, call: Any, queue: asyncio.Queue[bytes]) -> None:  # noqa: ANN401  grpc has no types
        while True:
            await call.write(await queue.get())

    async def _read(self, call: Any, stream: int) -> None:  # noqa: ANN401
        size = 4 * CASE.hidden * self._record.traffic.frames
        async for reply in call:
            if reply.startswith(ANSWER):
                self._record.answered(stream, memoryview(reply)[-size:])
            else:
                self._record.refuse(repr(reply[:200]))


def infer_request(record: Record, stream: int, chunk: int) -> bytes:
    """Return the message of a chunk."""
    traffic = record.traffic
    made = message("ModelInferRequest")(model_name="A")
    made.parameters["sequence_id"].int64_param = stream + 1
    made.parameters["sequence_start"].bool_param = chunk == 0
    made.parameters["sequence_end"].bool_param = chunk == traffic.chunks - 1
    made.inputs.add(name="x", datatype="FP32", shape=[traffic.frames, CASE.features])
    made.raw_input_contents.append(traffic.chunk(stream, chunk))
    return bytes(made.SerializeToString())
