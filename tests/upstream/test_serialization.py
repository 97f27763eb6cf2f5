"""Serialization of npu tensors: torch.save and load, map_location, aliasing, modules and optimizers, pickle and deepcopy."""

import copy
import io
import pickle
import tempfile
import unittest

import torch
from torch import nn
from torch.testing._internal.common_device_type import dtypes, instantiate_device_type_tests
from torch.testing._internal.common_utils import TestCase, parametrize

DTYPES = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.bfloat16, torch.float32,
          torch.float64, torch.complex64, torch.complex128)
if torch.__version__ >= (2, 2):  # 2.0 has no float8, 2.1 does not save it
    DTYPES += (torch.float8_e4m3fn, torch.float8_e5m2)


def round_trip(value, zipped=True, **kwargs):
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=zipped)
    buffer.seek(0)
    return torch.load(buffer, **kwargs)


class TestSerialization(TestCase):
    @dtypes(*DTYPES)
    @parametrize("zipped", (True, False))
    @parametrize("weights_only", (True, False))
    def test_round_trip(self, device, dtype, zipped, weights_only):
        if not zipped and "float8" in str(dtype):
            raise unittest.SkipTest("the legacy format has no float8")
        x = torch.arange(6).reshape(2, 3).to(dtype)
        for name, value in {"contiguous": x, "transposed": x.t(), "slice": x[:, 1:], "empty": x[:0], "0-dim": x[1, 2]}.items():
            loaded = round_trip(value.to(device) if name not in ("transposed", "slice") else
                                (x.to(device).t() if name == "transposed" else x.to(device)[:, 1:]), zipped, weights_only=weights_only)
            self.assertEqual(loaded.device, torch.device(device), msg=name)
            self.assertEqual((loaded.shape, loaded.stride(), loaded.dtype), (value.shape, value.stride(), value.dtype), msg=name)
            self.assertEqual(loaded.cpu().view(torch.uint8) if x.element_size() == 1 else loaded.cpu(),
                             value.view(torch.uint8) if x.element_size() == 1 else value, msg=name)

    @parametrize("weights_only", (True, False))
    def test_map_location(self, device, weights_only):
        x = torch.arange(4.0, device=device)
        for where in ("cpu", torch.device("cpu"), {"npu:0": "cpu"}, lambda storage, location: storage):
            loaded = round_trip(x, map_location=where, weights_only=weights_only)
            self.assertEqual((loaded.device.type, loaded.tolist()), ("cpu", [0.0, 1.0, 2.0, 3.0]))
        for where in (device, "npu", torch.device(device), lambda storage, location: storage.npu() if hasattr(storage, "npu") else storage.to(device=device)):
            loaded = round_trip(torch.arange(4.0), map_location=where, weights_only=weights_only)
            self.assertEqual((loaded.device.type, loaded.tolist()), ("npu", [0.0, 1.0, 2.0, 3.0]))
        with self.assertRaisesRegex((RuntimeError, ValueError, pickle.UnpicklingError), "npu"):  # it depends on the torch version which
            round_trip(torch.arange(4.0), map_location="npu:99", weights_only=weights_only)

    def test_mmap(self, device):
        with tempfile.NamedTemporaryFile() as f:
            torch.save({"x": torch.arange(4.0), "y": torch.ones(2, device=device)}, f.name)
            loaded = torch.load(f.name, mmap=True, map_location="cpu")
            self.assertEqual((loaded["x"].tolist(), loaded["y"].tolist()), ([0.0, 1.0, 2.0, 3.0], [1.0, 1.0]))

    def test_aliases_stay_aliases(self, device):
        x = torch.zeros(4, device=device)
        a, b, c = round_trip([x, x[2:], x.view(2, 2)])
        a.fill_(3)
        self.assertEqual((b.tolist(), c.tolist()), ([3.0, 3.0], [[3.0, 3.0], [3.0, 3.0]]))
        a, b = copy.deepcopy([x, x[2:]])
        a.fill_(4)
        self.assertEqual((b.tolist(), x.tolist()), ([4.0, 4.0], [0.0] * 4))

    def test_storages(self, device):
        x = torch.arange(4.0, device=device)
        storage = round_trip(x.untyped_storage(), weights_only=False)
        self.assertEqual((storage.device.type, storage.nbytes()), ("npu", 16))
        typed = round_trip(x.storage(), weights_only=False)
        self.assertEqual((typed.device.type, list(typed)), ("npu", [0.0, 1.0, 2.0, 3.0]))

    def test_subclasses_and_attributes(self, device):
        p = nn.Parameter(torch.ones(2, device=device), requires_grad=False)
        loaded = round_trip(p)
        self.assertIsInstance(loaded, nn.Parameter)
        self.assertFalse(loaded.requires_grad)
        x = torch.ones(2, device=device, requires_grad=True)
        self.assertTrue(round_trip(x).requires_grad)
        z = torch.tensor([1 + 2j], device=device).conj()
        self.assertEqual((round_trip(z).tolist(), round_trip(z).is_conj()), ([1 - 2j], True))
        n = torch._neg_view(torch.ones(2, device=device))
        self.assertEqual((round_trip(n).tolist(), round_trip(n).is_neg()), ([-1.0, -1.0], True))

    def test_module_and_optimizer(self, device):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).to(device)
        optimizer = torch.optim.Adam(model.parameters())
        x = torch.randn(5, 3).to(device)
        model(x).sum().backward()
        optimizer.step()
        saved = round_trip({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, map_location="cpu")
        self.assertTrue(all(t.device.type == "cpu" for t in saved["model"].values()))
        twin = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).to(device)
        twin.load_state_dict(saved["model"])
        resumed = torch.optim.Adam(twin.parameters())
        resumed.load_state_dict(saved["optimizer"])
        for m, o in ((model, optimizer), (twin, resumed)):
            o.zero_grad()
            m(x).square().sum().backward()
            o.step()
        self.assertEqual([p.cpu() for p in twin.parameters()], [p.cpu() for p in model.parameters()])
        whole = round_trip(model, weights_only=False)
        self.assertEqual(whole.eval()(x).cpu(), model.eval()(x).cpu())

    def test_assigned_state(self, device):
        assigned = nn.Linear(2, 2, device="meta")
        assigned.load_state_dict(nn.Linear(2, 2).to(device).state_dict(), assign=True)
        self.assertEqual(assigned.weight.device.type, "npu")

    def test_pickle(self, device):
        x = torch.arange(6.0, device=device).reshape(2, 3)
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            loaded = pickle.loads(pickle.dumps({"x": x.t(), "device": x.device, "dtype": x.dtype}, protocol))
            self.assertEqual((loaded["x"].device.type, loaded["x"].tolist()), ("npu", x.t().tolist()))
            self.assertEqual(loaded["device"], x.device)

    def test_generator_state(self, device):
        g = torch.Generator(device).manual_seed(5)
        state = round_trip(g.get_state())
        first = torch.rand(3, device=device, generator=g)
        again = torch.rand(3, device=device, generator=torch.Generator(device).set_state(state))
        self.assertEqual(first.cpu(), again.cpu())

    def test_fake_tensors_skip_the_data(self, device):
        from torch._subclasses.fake_tensor import FakeTensorMode
        buffer = io.BytesIO()
        torch.save(torch.ones(3, device=device), buffer)
        buffer.seek(0)
        with FakeTensorMode():
            loaded = torch.load(buffer)
        self.assertEqual((loaded.shape, loaded.device.type), ((3,), "npu"))


instantiate_device_type_tests(TestSerialization, globals())
