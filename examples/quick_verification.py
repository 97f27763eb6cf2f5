"""The first program: two matrices, multiplied on the npu and on the CPU."""

import torch
import torch_npu  # noqa: F401

torch.manual_seed(0)
a, b = torch.randn(2, 2), torch.randn(2, 2)

x = a.npu()
y = b.npu()
z = x.mm(y)

print(torch.npu.get_device_name())
print(z)

difference = (z.cpu() - a.mm(b)).abs().max().item()
print(f"largest difference from the CPU's result: {difference:.1e}")
if difference > 1e-6:
    raise SystemExit("the npu's result differs from the CPU's")
