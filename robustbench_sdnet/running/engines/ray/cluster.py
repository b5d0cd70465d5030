"""Reach a Ray cluster or start one on this machine, and say in one line why that failed."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray

from ....errors import EngineError, InputError

if TYPE_CHECKING:
    from ....planning.setting import Setting


REACH = 10.0  # seconds to reach a cluster's address in
# Ray's agents tell a Ray whose driver was killed that it was killed, and go when it does not answer for so many seconds
# (Ray's own setting is 60). On one machine a connection breaks with the process at its end alone.
_GONE = {"RAY_gcs_rpc_server_reconnect_timeout_s": "20"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many workers there should be, and what each holds.

    Attributes:
        workers: None for as many as the cluster has room for, nodes that join later included.
    """

    workers: int | None
    cpus: int
    gpus: float

    def wanted(self, resources: dict[str, float]) -> int:
        """How many workers to ask for, given the resources of the whole cluster."""
        if self.workers is not None:
            return self.workers
        if self.gpus:
            return int(resources.get("GPU", 0) / self.gpus + 1e-6)
        return int(resources.get("CPU", 0) / self.cpus)


def size_of(setting: Setting, device: str) -> Size:
    """The size that a setting asks for: one worker a GPU, else one a group of cores.

    Raises:
        InputError: a share of a GPU is asked for where work is done on CPUs.
    """
    on_gpu = device.startswith("cuda")
    if setting.gpus_per_worker and not on_gpu:
        raise InputError(
            f"--gpus-per-worker shares GPUs, but the device is '{device}'. Leave it out, or use a machine with a GPU."
        )
    return Size(
        workers=setting.workers,
        cpus=setting.threads_per_worker or 1,
        gpus=(setting.gpus_per_worker or 1.0) if on_gpu else 0.0,
    )


def connect(address: str | None, size: Size) -> bool:
    """Connect to the cluster at an address, or at RAY_ADDRESS, or else start one here with room for the workers.

    Returns:
        Whether this call connected, so that `ray.shutdown` is this caller's to call.

    Raises:
        EngineError: no cluster there, or one of another version.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # CPU workers on GPU machines say so themselves.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if ray.is_initialized():
        return False
    handlers = _handlers()
    address = address or os.environ.get("RAY_ADDRESS") or None
    options: dict[str, Any] = {"address": address}
    if not address:
        # "local", or Ray would connect to whatever cluster it finds running here; its dashboard has no login.
        cores = max(os.cpu_count() or 1, (size.workers or 1) * size.cpus)
        options = {"address": "local", "num_cpus": cores, "include_dashboard": False}
    else:
        _check_somebody_listens(address)
    try:
        with warnings.catch_warnings(), _environment({} if address else _GONE):
            warnings.simplefilter("ignore")  # Ray's own, on which no user can act
            # What workers print would land on this command's standard output.
            ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # of no class of its own where Ray takes too long to start
        text = " ".join(str(error).split())[:300]
        where = address or "this machine"
        remedy = "Start one: ray start --head" if "ould not find any" in text or "onnect" in text else ""
        if "Failed to connect" in text and "RAY_AUTH_MODE" not in os.environ:
            # Ray says of the token, which it takes along to "auto" alone, only in its log.
            remedy += ", or if it asks for a token: export RAY_AUTH_MODE=token"
        raise EngineError(f"No Ray cluster could be used at {where}: {text} {remedy}".rstrip()) from error
    finally:
        for number, handler in handlers.items():  # Ray replaces them
            signal.signal(number, handler)
    return True


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Variables for processes that are started meanwhile, but for those that the user has set."""
    new = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


def _check_somebody_listens(address: str) -> None:
    """Refuse at once what Ray would try to reach for minutes."""
    host, _, port = address.rpartition(":")
    if "/" in address or not port.isdecimal():
        return  # "auto", or for Ray to refuse
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise EngineError(
            f"No Ray cluster could be used at {address}: {getattr(error, 'strerror', None) or error}. "
            "Start one: ray start --head"
        ) from error


def _handlers() -> dict[signal.Signals, Any]:
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}


def resources() -> dict[str, float]:
    """What all nodes together have: CPU, GPU, ..."""
    found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]  # Ray states no types here
    return found


def gpus_left() -> str:
    """A line where workers on CPUs leave the GPUs of a cluster idle, else empty."""
    count = resources().get("GPU", 0)
    if not count:
        return ""
    return f"The cluster has {count:g} GPUs, and none is used: run the driver on a machine that also has one."


def nodes(size: Size) -> set[str]:
    """The ids of the living nodes that are large enough for a worker."""
    needed = {"CPU": float(size.cpus), "GPU": size.gpus}
    return {
        node["NodeID"]
        for node in ray.nodes()  # type: ignore[no-untyped-call]  # Ray states no types here
        if node["Alive"] and all(node["Resources"].get(kind, 0) >= count for kind, count in needed.items())
    }
