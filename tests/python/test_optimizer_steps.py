"""Fused optimizer steps and loss scaling against the CPU's."""
import pytest
import torch
import torch_npu
from pairs import strict_zip

STEPS = {
    "adam": (torch._fused_adam_, dict(lr=0.01, beta1=0.9, beta2=0.99, weight_decay=0.1, eps=1e-8, amsgrad=False, maximize=False), 3),
    "adam_amsgrad": (torch._fused_adam_, dict(lr=0.01, beta1=0.9, beta2=0.99, weight_decay=0.0, eps=1e-8, amsgrad=True, maximize=True), 3),
    "adamw": (torch._fused_adamw_, dict(lr=0.01, beta1=0.9, beta2=0.99, weight_decay=0.1, eps=1e-8, amsgrad=False, maximize=False), 3),
    "adamw_amsgrad": (torch._fused_adamw_, dict(lr=0.01, beta1=0.9, beta2=0.99, weight_decay=0.1, eps=1e-8, amsgrad=True, maximize=True), 3),
    "sgd": (torch._fused_sgd_, dict(lr=0.01, weight_decay=0.1, momentum=0.9, dampening=0.2, nesterov=False, maximize=False, is_first_step=False), 1),
    "sgd_first": (torch._fused_sgd_, dict(lr=0.01, weight_decay=0.0, momentum=0.9, dampening=0.0, nesterov=True, maximize=True, is_first_step=True), 1),
    "adagrad": (torch._fused_adagrad_, dict(lr=0.01, lr_decay=0.1, weight_decay=0.1, eps=1e-8, maximize=False), 1),
}
SHAPES = ((3, 2), (5,), ())


def lists(count, dtype, steps):
    generator = torch.Generator().manual_seed(1)
    made = [[torch.rand(s, generator=generator).to(dtype) for s in SHAPES] for _ in range(2 + count)]
    return made + ([[torch.tensor(3.0) for _ in SHAPES]] if steps else [])


@pytest.mark.parametrize("tensor_lr", [False, True])
@pytest.mark.parametrize("scaling", [None, 0.0, 1.0])
@pytest.mark.parametrize("name", STEPS)
def test_step(name, scaling, tensor_lr):
    function, settings, states = STEPS[name]
    results = []
    for device in ("cpu", "npu"):
        args = [[t.to(device) for t in group] for group in lists(states, torch.float32, "sgd" not in name)]
        if settings.get("amsgrad") is False:
            args[4] = []
        kwargs = dict(settings)
        if tensor_lr:
            kwargs["lr"] = torch.tensor(settings["lr"])
        if scaling is not None:
            kwargs.update(grad_scale=torch.tensor([2.0], device=device), found_inf=torch.tensor([scaling], device=device))
        function(*args, **kwargs)
        results.append(args)
    for group, (expected, actual) in enumerate(strict_zip(*results)):
        if group == 1 and scaling == 1.0:
            continue  # whether a skipped step unscales the gradients is left open
        for e, a in strict_zip(expected, actual):
            torch.testing.assert_close(a.cpu(), e, msg=lambda m: f"list {group}: {m}")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
@pytest.mark.parametrize("bad", [False, True])
def test_unscale(dtype, bad):
    grads = [torch.ones(3, 2), torch.full((4,), 3.0)]
    if bad:
        grads[1][2] = float("inf")
    results = []
    for device in ("cpu", "npu"):
        moved = [g.clone().to(device, dtype) for g in grads]
        found, scale = torch.zeros(1, device=device), torch.full((1,), 0.25, device=device)
        torch._amp_foreach_non_finite_check_and_unscale_(moved, found, scale)
        results.append([*moved, found])
    for e, a in strict_zip(*results):
        torch.testing.assert_close(a.cpu(), e)


def test_unscale_mixed_dtypes():
    grads = [torch.ones(2).npu(), torch.ones(2).half().npu(), torch.ones(3).npu()]
    found = torch.zeros(1).npu()
    torch._amp_foreach_non_finite_check_and_unscale_(grads, found, torch.full((1,), 0.5).npu())
    assert all(g.eq(0.5).all() for g in grads) and found.item() == 0


def test_update_scale():
    for found, want_scale, want_tracker in ((0.0, 16.0, 0), (1.0, 4.0, 0)):
        scale, tracker = torch.tensor([8.0]).npu(), torch.tensor([1], dtype=torch.int32).npu()
        torch._amp_update_scale_(scale, tracker, torch.tensor([found]).npu(), 2.0, 0.5, 2)
        assert (scale.item(), tracker.item()) == (want_scale, want_tracker)


def test_grad_scaler():
    model = torch.nn.Linear(3, 2).npu()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    scaler = torch.amp.GradScaler("npu", init_scale=4.0)
    before = model.weight.detach().clone()
    scaler.scale(model(torch.ones(4, 3).npu()).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert not torch.equal(before, model.weight)
    before = model.weight.detach().clone()
    model.weight.grad.fill_(float("nan"))
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(before, model.weight) and scaler.get_scale() == 2.0
