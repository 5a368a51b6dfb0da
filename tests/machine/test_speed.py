from __future__ import annotations

from usrn_keras.machine.speed import matrix_product_rate


def test_the_rate_is_of_the_right_size():
    assert 1e7 < matrix_product_rate(64, seconds=0.001) < 1e14
