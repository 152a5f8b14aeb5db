"""Assertions in shared test code say what they compared."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.shapes.conformance", "tests.shapes.hooks")
