"""Forked kernels: each a process of its own, with what Jupyter expects of one."""

import time

import nbformat
import papermill
import pytest
from jupyter_client.manager import start_new_kernel
from jupyter_client.provisioning.factory import KernelProvisionerFactory
from nbformat.v4 import new_code_cell, new_notebook
from papermill.exceptions import PapermillExecutionError

import kernels

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _forked(monkeypatch):
    factory = KernelProvisionerFactory.instance()
    monkeypatch.setattr(factory, "default_provisioner_name", factory.default_provisioner_name)  # put back afterwards
    kernels.use()


def execute(folder, *sources, **parameters):
    """Execute cells in a new kernel in `folder` and return what they printed."""
    made = new_notebook(cells=[new_code_cell(source) for source in sources])
    made.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(made, folder / "in.ipynb")
    papermill.execute_notebook(
        str(folder / "in.ipynb"), str(folder / "out.ipynb"), parameters, cwd=str(folder), progress_bar=False
    )
    done = nbformat.read(folder / "out.ipynb", as_version=4)
    return "".join(output.get("text", "") for cell in done.cells for output in cell.get("outputs", []))


def test_a_kernel_has_torch_already_and_works_in_the_folder_it_was_given(tmp_path):
    shown = execute(tmp_path, "import os, sys\nprint('torch' in sys.modules, os.getcwd())")
    assert shown == f"True {tmp_path}\n"


def test_kernels_share_no_state(tmp_path):
    change = "import torch, matplotlib\ntorch.manual_seed(1)\nmatplotlib.rcParams['axes.grid'] = True\nleft = 1"
    execute(tmp_path, change)
    shown = execute(tmp_path, "import torch, matplotlib\nprint(matplotlib.rcParams['axes.grid'], 'left' in globals())")
    assert shown == "False False\n"


def test_the_environment_of_now_reaches_a_kernel(tmp_path, monkeypatch):
    monkeypatch.setenv("CNNDP_RESULTS", "elsewhere")
    assert execute(tmp_path, "import os\nprint(os.environ['CNNDP_RESULTS'])") == "elsewhere\n"


def test_an_error_in_a_cell_is_the_callers_error(tmp_path):
    with pytest.raises(PapermillExecutionError, match="ZeroDivisionError"):
        execute(tmp_path, "1 / 0")


def test_a_kernel_can_be_interrupted_and_ended():
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        process = manager.provisioner.process
        message = client.execute("import time\nwhile True:\n    time.sleep(0.05)")
        time.sleep(1.0)
        manager.interrupt_kernel()
        replies = iter(lambda: client.get_shell_msg(timeout=20), None)
        reply = next(one for one in replies if one["parent_header"]["msg_id"] == message)
        assert (reply["content"]["status"], reply["content"]["ename"]) == ("error", "KeyboardInterrupt")
        assert manager.is_alive()
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    process.wait()
    assert process.poll() is not None
