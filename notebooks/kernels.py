"""Kernels that start at once: forks of a server that has imported what notebooks import, which takes seconds.

Only for executing the matrix and for nbval; Jupyter itself starts kernels as ever. Each kernel is a process of its own.
"""

import os
from importlib.metadata import EntryPoint
from multiprocessing import get_context
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.factory import KernelProvisionerFactory
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

NAME = "cnndp-forked"
IMPORTED = [
    "ipykernel.kernelapp",
    "ipykernel.zmqshell",
    "matplotlib_inline.backend_inline",
    "matplotlib.pyplot",
    "cnndp.audit.plots",
    "cnndp.bench.cost",
    "cnndp.report.findings",
    "cnndp.report.figures.drawing",
]


def use() -> None:
    """Let every kernel that this process starts be a fork."""
    factory = KernelProvisionerFactory.instance()
    factory.provisioners[NAME] = EntryPoint(NAME, f"{__name__}:Forked", factory.GROUP_NAME)
    factory.default_provisioner_name = NAME


def serve(arguments: list[str], folder: str | None, environment: dict[str, str]) -> None:
    """Be a kernel, in the process that was forked for it."""
    from ipykernel.kernelapp import IPKernelApp

    os.environ.update(environment)
    os.chdir(folder or ".")
    server = f"--IPKernelApp.parent_handle={os.getppid()}"  # with which it ends, too
    IPKernelApp.launch_instance([*arguments, server, "--IPKernelApp.log_level=CRITICAL"])


class Process:
    """A forked kernel, with what jupyter_client asks of a `subprocess.Popen`."""

    stdin = stdout = stderr = None

    def __init__(self, *arguments: Any) -> None:
        context = get_context("forkserver")
        context.set_forkserver_preload(IMPORTED)
        self.process = context.Process(target=serve, args=arguments, daemon=True)
        self.process.start()
        self.pid = self.process.pid

    def poll(self) -> int | None:
        """Return the exit status, None while it runs."""
        return self.process.exitcode

    def wait(self) -> int | None:
        """Wait for the end and return the exit status."""
        self.process.join()
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal while it runs."""
        if self.pid is not None and self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it."""
        self.process.kill()

    def terminate(self) -> None:
        """Ask it to end."""
        self.process.terminate()


class Forked(LocalProvisioner):
    """Starts kernels as forks."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start one; `cmd` ends in the kernel's own arguments, "-f" and the connection file."""
        process: Any = Process(cmd[cmd.index("-f") :], kwargs.get("cwd"), kwargs.get("env") or {})
        self.process, self.pid = process, process.pid
        return self.connection_info
