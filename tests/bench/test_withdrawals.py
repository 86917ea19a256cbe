"""What the judge of withdrawals calls late."""

import pytest

from bench.withdrawals import late_by

ONE, OTHER, SILENT = bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2]), bytes([192, 0, 2, 3])


def test_a_frame_after_the_confirmation_is_late_and_one_before_or_none_is_not() -> None:
    last = {ONE.hex(): 10.5, OTHER.hex(): 9.999}
    late = late_by({ONE: 10.0, OTHER: 10.0, SILENT: 10.0}, last)
    assert late == {ONE: pytest.approx(0.5)}
