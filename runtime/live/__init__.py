"""Streams from a microphone, a socket, a serial line, a pipe or a file to answers on time."""
