"""The yardstick: one nginx worker that passes every request on, over kept connections, without buffering answers."""

import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.process import running, until_ready

_CONFIG = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log error;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 100000000;
    keepalive_timeout 600s;
    tcp_nodelay on;
    upstream mock {{
        server 127.0.0.1:{upstream};
        keepalive 1024;
        keepalive_requests 100000000;
        keepalive_timeout 600s;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /health {{ return 200; }}
        location / {{
            proxy_pass http://mock;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 600s;
        }}
    }}
}}
"""


def is_installed() -> bool:
    return _binary() is not None


def _binary() -> str | None:
    # Debian keeps it where only root's PATH looks.
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@asynccontextmanager
async def nginx(folder: Path, port: int, upstream_port: int) -> AsyncIterator[int]:
    """Run nginx in front of `upstream_port`; yields the master's pid. The worker is its only child."""
    binary = _binary()
    if binary is None:
        raise RuntimeError("nginx is not installed")
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(folder=folder, port=port, upstream=upstream_port))
    argv = [binary, "-c", str(config), "-p", str(folder), "-e", str(folder / "error.log")]
    started_s = time.monotonic()
    async with running(argv, log=folder / "output.log") as child:
        await until_ready(child, port, "/health", started_s=started_s)
        yield child.pid
