"""torch_npu.utils: tensors in one piece of memory, counting operations, saving in the background, processors of threads; typed tensors."""

import os
import threading

import pytest
import torch
import torch_npu
import torch_npu.utils.collect_env

pytestmark = pytest.mark.skipif(not torch.npu.is_available(), reason="no npu")

utils = torch_npu.utils


def test_combined_tensors():
    values = [torch.arange(6.0).view(2, 3), torch.tensor([10.0]), torch.arange(20.0, 24.0)]
    tensors = [v.npu() for v in values]
    combined = utils.npu_combine_tensors(tensors)
    assert combined.cpu().tolist() == [0, 1, 2, 3, 4, 5, 10, 20, 21, 22, 23]
    assert utils.is_combined_tensor_valid(combined, tensors)
    assert all(torch.equal(t.cpu(), v) for t, v in zip(tensors, values))
    combined.mul_(2)
    assert tensors[0].tolist() == [[0.0, 2.0, 4.0], [6.0, 8.0, 10.0]] and tensors[1].item() == 20
    assert utils.get_part_combined_tensor(combined, 6, 2).tolist() == [20.0, 40.0]
    assert not utils.is_combined_tensor_valid(combined, tensors[::-1])
    assert not utils.is_combined_tensor_valid(combined, [*tensors, torch.ones(1, device="npu")])
    parameter = torch.nn.Parameter(torch.ones(3, device="npu"))
    assert utils.npu_combine_tensors([parameter], require_copy_value=False).tolist() == [0.0] * 3 == parameter.tolist()
    assert utils.npu_combine_tensors([]) is None and utils.is_combined_tensor_valid(None, [])


@pytest.mark.parametrize("tensors, error, text", [
    ([torch.ones(2)], TypeError, "Expected npu tensors, got cpu"),
    ([torch.ones(4, 4).npu().t()], ValueError, "Expected contiguous tensors, got one of shape"),
    ([torch.ones(2).npu(), torch.ones(2).npu().half()], ValueError, "Expected tensors of one dtype and device"),
])
def test_tensors_that_cannot_be_combined(tensors, error, text):
    with pytest.raises(error, match=text):
        utils.npu_combine_tensors(tensors)


def test_part_of_a_combined_tensor_that_is_not_there():
    combined = utils.npu_combine_tensors([torch.ones(4, device="npu")])
    with pytest.raises(ValueError, match="Elements 2 to 5 are not all in a combined tensor of 4"):
        utils.get_part_combined_tensor(combined, 2, 3)


def test_flops_counter():
    counter = utils.FlopsCounter()
    assert utils.FlopsCounter() is counter and counter.get_flops() == [0, 0]
    x, y = torch.ones(3, 4, device="npu"), torch.ones(4, 5, device="npu")
    once = 2 * 3 * 4 * 5
    x @ y
    counter.start()
    try:
        x @ y
        assert counter.get_flops() == [once, once]
        counter.pause()
        x @ y
        assert counter.get_flops() == [once, 2 * once]
        counter.resume()
        x @ y
        assert counter.get_flops() == [2 * once, 3 * once]
    finally:
        counter.stop()
    assert counter.get_flops() == [0, 0]
    x @ y
    assert counter.get_flops() == [0, 0]


def test_save_async(tmp_path):
    tensor = torch.arange(1000.0, device="npu")
    shared = {"a": tensor, "list": [tensor, 3], "model": torch.nn.Linear(2, 2).npu().state_dict()}
    thread = utils.save_async(shared, tmp_path / "file")
    tensor.zero_()
    thread.join()
    loaded = torch.load(tmp_path / "file")
    assert loaded["a"].device.type == "cpu" and torch.equal(loaded["a"], torch.arange(1000.0))
    assert loaded["list"][0] is loaded["a"] or torch.equal(loaded["list"][0], loaded["a"])
    assert loaded["list"][1] == 3 and torch.equal(loaded["model"]["weight"], shared["model"]["weight"].cpu())


def test_thread_affinity():
    processors = sorted(os.sched_getaffinity(0))
    seen = {}

    def work():
        utils.set_thread_affinity([processors[0], processors[0]])
        seen["set"] = os.sched_getaffinity(0)
        utils.reset_thread_affinity()
        seen["reset"] = os.sched_getaffinity(0)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == {"set": {processors[0]}, "reset": set(processors)}
    assert sorted(os.sched_getaffinity(0)) == processors
    for wrong, text in (([3], "is \\[first, last\\]"), ([[2, 1]], "is \\[first, last\\]"), ([0, 100000], "There are no processors")):
        with pytest.raises(ValueError, match=text):
            utils.set_thread_affinity(wrong)
    with pytest.raises(NotImplementedError, match="binds no threads by itself"):
        utils.set_thread_affinity()


def test_environment_report():
    text = utils.collect_env.get_pretty_env_info()
    assert f"torch_npu version: {torch_npu.__version__}" in text and torch.npu.get_device_name(0) in text
    assert utils.collect_env.get_torch_npu_install_path() in text


# ---- types of tensors -----------------------------------------------------------------------------------------------------------

TYPES = {"BFloat16": torch.bfloat16, "Bool": torch.bool, "Byte": torch.uint8, "Char": torch.int8, "Double": torch.float64,
         "Float": torch.float32, "Half": torch.float16, "Int": torch.int32, "Long": torch.int64, "Short": torch.int16}


@pytest.mark.parametrize("name, dtype", TYPES.items())
def test_typed_tensors(name, dtype):
    kind = getattr(torch.npu, f"{name}Tensor")
    x = kind([1, 0, 1])
    assert x.is_npu and x.dtype == dtype == kind.dtype and x.cpu().tolist() == [1, 0, 1]
    assert kind(2, 3).shape == (2, 3) and kind().numel() == 0
    assert isinstance(x, kind) and not isinstance(x.cpu(), kind) and not isinstance(1, kind)
    assert not isinstance(x, torch.npu.CharTensor if name != "Char" else torch.npu.IntTensor)
    assert x.type() == f"torch.npu.{name}Tensor"
    assert torch.ones(2).type(f"torch.npu.{name}Tensor").dtype == dtype
    assert isinstance(torch.ones(2).type(kind), kind) and isinstance(torch.ones(2, device="npu").type(kind), kind)
    assert isinstance(kind(torch.ones(2)), kind)


@pytest.mark.parametrize("name, dtype", TYPES.items())
def test_typed_storages(name, dtype):
    kind = getattr(torch.npu, f"{name}Storage")
    s = kind(4)
    assert len(s) == 4 and s.dtype == dtype == kind.dtype and s.device.type == "npu"
    assert isinstance(s, kind) and not isinstance(torch.FloatStorage(1), kind)
    assert kind([1, 0, 1]).cpu().tolist() == [1, 0, 1]
    assert kind(wrap_storage=torch.ones(2, dtype=dtype, device="npu").untyped_storage()).size() == 2
