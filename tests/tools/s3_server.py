"""A server of S3 of a test's own: moto, one request at a time, so that what it checks still holds when it writes.

`python tests/tools/s3_server.py` prints its port.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from importlib.util import find_spec

import pytest


@contextmanager
def s3_server(bucket: str = "bucket") -> Iterator[subprocess.Popen[str]]:
    """Run a server with a bucket; the environment says where it is. Without it the test is skipped (CI: it fails)."""
    if not all(map(find_spec, ("moto", "flask_cors", "obstore"))):
        (pytest.fail if os.environ.get("CI") else pytest.skip)("moto, flask-cors or obstore is not installed")
    command, quiet = [sys.executable, __file__], subprocess.DEVNULL
    with (
        pytest.MonkeyPatch.context() as patch,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=quiet, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            connection = HTTPConnection("127.0.0.1", port)
            connection.request("PUT", f"/{bucket}")
            assert connection.getresponse().status == 200
            account = {
                "ACCESS_KEY_ID": "test",
                "SECRET_ACCESS_KEY": "test",
                "REGION": "us-east-1",
                "ENDPOINT_URL": f"http://127.0.0.1:{port}",
            }
            for name, value in account.items():
                patch.setenv(f"AWS_{name}", value)
            yield process
        finally:
            process.kill()


if __name__ == "__main__":
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=False)
    print(server.port, flush=True)
    server.serve_forever()
