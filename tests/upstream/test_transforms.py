"""Function transforms on npu as on the CPU: vmap, grad, jacobians, functional calls; and upstream's custom operators by opcheck."""

import unittest

import torch
from torch.func import functional_call, functionalize, grad, hessian, jacfwd, jacrev, jvp, linearize, stack_module_state, vjp, vmap
from torch.testing._internal.common_device_type import instantiate_device_type_tests, ops
from torch.testing._internal.common_utils import TestCase, parametrize, subtest
from torch.testing._internal.custom_op_db import custom_op_db
from torch.utils._pytree import tree_map

TRANSFORMS = {
    "vmap": lambda f, x, y: vmap(f)(x, y),
    "vmap_in_dims": lambda f, x, y: vmap(f, in_dims=(1, None), out_dims=0)(x.t().contiguous(), y[0]),
    "vmap_vmap": lambda f, x, y: vmap(vmap(f, in_dims=(None, 0)), in_dims=(0, None))(x, y),
    "vmap_chunked": lambda f, x, y: vmap(f, chunk_size=2)(x, y),
    "grad": lambda f, x, y: grad(lambda a: f(a, y[0]).sum())(x[0]),
    "grad_of_both": lambda f, x, y: grad(lambda a, b: f(a, b).sum(), argnums=(0, 1))(x[0], y[0]),
    "per_sample_grad": lambda f, x, y: vmap(grad(lambda a, b: f(a, b).sum()), in_dims=(0, 0))(x, y),
    "vjp": lambda f, x, y: vjp(lambda a: f(a, y[0]), x[0])[1](torch.ones_like(f(x[0], y[0]))),
    "jvp": lambda f, x, y: jvp(lambda a: f(a, y[0]), (x[0],), (torch.ones_like(x[0]),)),
    "jacrev": lambda f, x, y: jacrev(f)(x[0], y[0]),
    "jacfwd": lambda f, x, y: jacfwd(f)(x[0], y[0]),
    "hessian": lambda f, x, y: hessian(lambda a: f(a, y[0]).sum())(x[0]),
    "grad_grad": lambda f, x, y: grad(lambda a: grad(lambda b: f(b, y[0]).sum())(a).sum())(x[0]),
    "linearize": lambda f, x, y: linearize(lambda a: f(a, y[0]), x[0])[1](torch.ones_like(x[0])),
    "functionalize": lambda f, x, y: functionalize(f)(x[0], y[0]),
}
FUNCTIONS = {
    "mul_sin": lambda x, y: (x * y).sin(),
    "dot": lambda x, y: (x * y).sum().exp().unsqueeze(0),
    "softmax": lambda x, y: torch.softmax(x + y, 0),
    "index": lambda x, y: x[1:] * y[:-1],
    "write": lambda x, y: (x * 1).mul_(y),
    "outer": lambda x, y: torch.outer(x, y).sum(0),
    "where": lambda x, y: torch.where(x > 0, x, y),
}


class TestTransforms(TestCase):
    @parametrize("transform", [subtest(name, name=name) for name in TRANSFORMS])
    @parametrize("function", [subtest(name, name=name) for name in FUNCTIONS])
    def test_like_the_cpu(self, device, transform, function):
        if function == "write" and transform in ("vmap_in_dims", "vmap_vmap"):
            raise unittest.SkipTest("vmap refuses to write a batch into what has none")
        torch.manual_seed(0)
        x, y = torch.randn(3, 4), torch.randn(3, 4)
        if transform == "vmap_in_dims":
            x = x.t().contiguous()[:, :3].t().contiguous() if x.shape[0] != 3 else x
        expected = TRANSFORMS[transform](FUNCTIONS[function], x, y)
        actual = TRANSFORMS[transform](FUNCTIONS[function], x.to(device), y.to(device))
        self.assertEqual(tree_map(lambda t: t.cpu(), actual), expected)

    def test_functional_call(self, device):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
        x = torch.randn(5, 3)

        def per_sample(m, d):
            parameters = {k: v.detach().to(d) for k, v in m.named_parameters()}

            def loss(p, sample):
                return functional_call(m, p, (sample.unsqueeze(0),)).square().sum()

            return {k: v.cpu() for k, v in vmap(grad(loss), in_dims=(None, 0))(parameters, x.to(d)).items()}

        self.assertEqual(per_sample(model.to(device), device), per_sample(model.cpu(), "cpu"))

    def test_ensemble(self, device):
        torch.manual_seed(0)
        models = [torch.nn.Linear(3, 2).to(device) for _ in range(3)]
        parameters, buffers = stack_module_state(models)
        x = torch.randn(5, 3).to(device)
        base = models[0]
        together = vmap(lambda p, b: functional_call(base, (p, b), (x,)))(parameters, buffers)
        self.assertEqual(together.cpu(), torch.stack([m(x) for m in models]).cpu())

    @parametrize("randomness", ("different", "same", "error"))
    def test_vmap_of_random(self, device, randomness):
        x = torch.zeros(4, 8, device=device)
        call = lambda: vmap(lambda row: row + torch.rand(8, device=device), randomness=randomness)(x)
        if randomness == "error":
            with self.assertRaisesRegex(RuntimeError, "vmap: called random operation while in randomness error mode"):
                call()
            return
        rows = call().cpu()
        self.assertEqual(len({tuple(r.tolist()) for r in rows}), 1 if randomness == "same" else 4)

    @ops([op for op in custom_op_db if op.name != "NumpyNMSCustomOp"], allowed_dtypes=(torch.float32,))
    def test_opcheck(self, device, dtype, op):
        for sample in op.sample_inputs(device, dtype, requires_grad=op.supports_autograd):
            torch.library.opcheck(op.op, (sample.input, *sample.args), sample.kwargs, test_utils=(
                "test_schema", "test_faketensor", "test_aot_dispatch_dynamic"))  # the check of registrations knows no other devices


instantiate_device_type_tests(TestTransforms, globals())
