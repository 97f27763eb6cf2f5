"""The quick verification, as the vendor's documentation words it; the last line is a JSON report."""
import json

import torch
import torch_npu

torch.manual_seed(0)
a, b = torch.randn(2, 2), torch.randn(2, 2)
x, y = a.npu(), b.npu()
z = x.mm(y)
print(z)
print(json.dumps({
    "max_difference": (z.cpu() - a.mm(b)).abs().max().item(),
    "printed": repr(z),
    "printed_on_cpu": repr(z.cpu()),
    "adapter": torch_npu.__version__,
}))
