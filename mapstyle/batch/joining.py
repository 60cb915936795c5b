"""Start Ray on this machine, or join a cluster that is running; it keeps to itself what it has to say."""

import importlib
import logging
import os
import re
import signal
import socket
import threading
from contextlib import ExitStack
from typing import Any

from mapstyle.errors import JobError, MapstyleError

STORE_BYTES = 80 << 20
"""Bytes of shared memory for objects when Ray is started here: blocks go to the store on disk, not through it."""
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How a client of Ray's head begins: HTTP/2's preface and empty settings (RFC 9113, 3.4)."""


def load_ray() -> Any:
    """Import Ray, so that it keeps to itself what it has to say."""
    for name, value in {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "1",
        "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # what raylets tell of workers that died; we tell it ourselves
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # or it warns of what it will do one day
    }.items():
        os.environ.setdefault(name, value)
    try:
        ray = importlib.import_module("ray")
        for part in ("cloudpickle", "exceptions", "util.scheduling_strategies"):
            importlib.import_module(f"ray.{part}")
    except ImportError:
        raise JobError("--ray needs Ray, which is not installed: pip install 'mapstyle[ray]'") from None
    return ray


def join(ray: Any, stack: ExitStack, address: str | None, workers: int | None) -> None:
    """Start Ray here or join a cluster; the stack ends it."""
    if ray.is_initialized():
        return  # by whoever calls us, who also ends it
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": True}
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        if address in (None, "", "local"):
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            ray.init(
                "local", num_cpus=workers or cores, include_dashboard=False, object_store_memory=STORE_BYTES, **quiet
            )
        else:
            assert address is not None
            _check_address(address)
            ray.init(address, **quiet)
    except MapstyleError:
        raise
    except ConnectionError:
        raise JobError(
            f"--ray {address}: no Ray cluster lets this machine in there; start one with 'ray start --head', copy "
            "~/.ray/auth_token from its head when it asks for a token, or use --ray local"
        ) from None
    except Exception as error:  # Ray raises all kinds: other versions, a node that is not there, no room
        told = " ".join(str(error).split())[:300]
        cure = "this machine must be a node too: 'ray start --address HOST:PORT' here, with the same Python and Ray"
        raise JobError(
            f"--ray {address or 'local'}: Ray says: {told}; {cure if address else 'see its own log'}"
        ) from None
    finally:
        if main and handler is not None:
            signal.signal(signal.SIGTERM, handler)  # Ray puts its own there
    stack.callback(ray.shutdown)


def _check_address(address: str) -> None:
    """Refuse an address behind which there is no Ray: it would wait for minutes, and complain meanwhile."""
    if address == "auto":
        return
    match = re.fullmatch(r"\[?([^\[\]/]+?)\]?:(\d{1,5})", address)
    if match is None or not 0 < int(match[2]) < 65536:
        raise JobError(f"--ray {address}: write auto, or HOST:PORT as 'ray start --head' tells it, without ray://")
    try:
        with socket.create_connection((match[1], int(match[2])), timeout=5) as link:
            link.sendall(_HELLO)
            answer = link.recv(9)
    except OSError as error:
        raise JobError(
            f"--ray {address}: nobody answers there ({error.strerror or error}); is the cluster running, and is that "
            "the port that 'ray start --head' told?"
        ) from None
    # A frame's fourth byte is its type, and the first that an HTTP/2 server sends is of settings (RFC 9113, 3.4, 6.5).
    if answer[3:4] != b"\x04" and not os.environ.get("RAY_USE_TLS"):
        raise JobError(f"--ray {address}: that is no Ray cluster; give the port that 'ray start --head' told")
