"""The remedy for NaN fits its cause."""

from __future__ import annotations

import pytest
import torch

from tav_model.errors import NonFiniteError
from tav_model.finite import check_finite


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_another_dtype_is_the_remedy_only_where_it_holds_more(
    value: float, dtype: torch.dtype
) -> None:
    check_finite(torch.ones(3), "decoding", dtype, "look at the weights")
    with pytest.raises(NonFiniteError, match="decoding gave NaN") as told:
        check_finite(torch.tensor([1.0, value]), "decoding", dtype, "look at the weights")
    assert ("model.dtype" in str(told.value)) == (dtype == torch.float16)
    assert "look at the weights" in str(told.value)
