"""Large float32 layers multiply by oneDNN on processors that MKL does not serve well."""

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import nn

from langchain_qstar.models.transformers import linear_layers
from langchain_qstar.models.transformers.linear_layers import OneDNNLinear, use_onednn

needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch was built without oneDNN"
)


@pytest.fixture
def slow_mkl(monkeypatch):
    monkeypatch.setattr(linear_layers, "_mkl_is_slow", lambda: True)


def a_model(dtype=torch.float32):
    class Special(nn.Linear):
        pass

    return nn.ModuleDict(
        {
            "large": nn.Linear(1024, 1024, dtype=dtype),
            "bare": nn.Linear(1024, 1024, bias=False, dtype=dtype),
            "small": nn.Linear(64, 64, dtype=dtype),
            "special": Special(1024, 1024, dtype=dtype),
        }
    )


@needs_onednn
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5), (2, 3, 4), (0,)])
@pytest.mark.parametrize("name", ["large", "bare"])
def test_products_are_those_of_torch_up_to_rounding(slow_mkl, shape, name):
    model = a_model()
    asked = torch.randn(*shape, 1024)
    with torch.inference_mode():
        before = model[name](asked)
        use_onednn(model)
        after = model[name](asked)
    assert type(model[name]) is OneDNNLinear
    assert after.shape == before.shape
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


def test_small_layers_subclasses_and_other_types_of_numbers_stay_as_they_were(slow_mkl):
    model, half = a_model(), a_model(torch.bfloat16)
    use_onednn(model)
    use_onednn(half)
    assert [type(layer).__name__ for layer in model.values()] == [
        "OneDNNLinear",
        "OneDNNLinear",
        "Linear",
        "Special",
    ]
    assert type(half["large"]) is nn.Linear


@needs_onednn
def test_gradients_copies_and_pickles_work_as_before(slow_mkl):
    model: Any = nn.Sequential(nn.Linear(1024, 1024))
    use_onednn(model)
    model(torch.ones(2, 1024)).sum().backward()
    torch.testing.assert_close(model[0].weight.grad, torch.full((1024, 1024), 2.0))
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):  # noqa: S301
        asked = torch.randn(3, 1024)
        with torch.no_grad():
            assert torch.equal(other(asked), model(asked))
            other[0].weight.zero_()
            assert not other(asked).eq(model(asked)).any()


def test_no_layer_is_changed_where_mkl_is_fast(monkeypatch):
    monkeypatch.setattr(linear_layers, "_maker", lambda: "GenuineIntel")
    model = a_model()
    use_onednn(model)
    assert type(model["large"]) is nn.Linear


@needs_onednn
def test_a_processor_of_amd_is_one_that_mkl_does_not_serve_well(monkeypatch):
    monkeypatch.setattr(linear_layers, "_maker", lambda: "AuthenticAMD")
    model = a_model()
    use_onednn(model)
    assert (type(model["large"]) is OneDNNLinear) == torch.backends.mkl.is_available()
