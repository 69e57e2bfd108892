"""Tests that share what is slow to make stay in one process of pytest-xdist, which a version of pytest may undo."""

import os

import pytest


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="in several processes alone")
@pytest.mark.xdist_group("one group")
def test_a_group_is_part_of_the_name_by_which_tests_are_given_out(request):
    assert request.node.nodeid.endswith("@one group")
