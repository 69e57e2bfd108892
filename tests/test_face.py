"""`import cnndp`: a dozen names, read when they are asked for, each shown by an example."""

import subprocess
import sys

import pytest

import cnndp


def test_the_names_are_the_functions_of_their_rooms():
    assert cnndp.load("digits").num_classes == 10
    assert cnndp.preset("cnn", "reconstructed", "digits", 3) == cnndp.Config(
        **cnndp.preset("cnn", "reconstructed", "digits", 3).to_dict()
    )
    assert cnndp.frame([]).empty


@pytest.mark.parametrize("name", cnndp.FACE)
def test_every_name_is_there_with_an_example_in_its_docstring(name):
    assert ">>> " in getattr(cnndp, name).__doc__
    assert name in dir(cnndp)
    assert name in cnndp.__all__


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(AttributeError, match="has no attribute 'trian'; it has load, Config, preset"):
        cnndp.trian  # noqa: B018


def test_importing_the_package_alone_imports_no_torch():
    code = "import sys, cnndp; print('torch' in sys.modules, 'pandas' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "False False\n"
