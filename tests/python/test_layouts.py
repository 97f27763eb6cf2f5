"""Sparse, nested and quantized tensors on npu: what works gives the CPU's values, the rest says what is missing and what to do."""
import pytest
import torch
import torch_npu
from pairs import strict_zip

D = torch.tensor([[0.0, 2, 0, 1], [3, 0, 0, 0], [0, 0, 0, 4]])


def both(function, *args):
    expected = function(*args)
    actual = function(*(a.npu() for a in args))
    for a, e in strict_zip(*((r if isinstance(r, tuple) else (r,)) for r in (actual, expected))):
        assert a.device.type == "npu" and a.layout == e.layout and a.shape == e.shape and a.dtype == e.dtype
        torch.testing.assert_close(a.cpu().to_dense(), e.to_dense())


@pytest.fixture(autouse=True)
def native():
    torch_npu.reset_fallbacks()
    yield
    assert not torch_npu.fallbacks(), "computed on the CPU"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64, torch.bool])
def test_coo_and_back(dtype):
    both(lambda d: d.to_sparse(), D.to(dtype))
    both(lambda d: d.to_sparse().to_dense(), D.to(dtype))
    both(lambda d: d[:, :, None].expand(3, 4, 2).to_sparse(2), D.to(dtype))
    both(lambda d: (d.to_sparse().indices(), d.to_sparse().values()), D.to(dtype))


def made(device="npu"):
    indices = torch.tensor([[0, 1, 1, 0], [2, 0, 0, 2]], device=device)
    return torch.sparse_coo_tensor(indices, torch.tensor([1.0, 2, 3, 4], device=device), (2, 3))


def test_duplicate_entries_are_summed():
    s = made()
    assert not s.is_coalesced() and s._nnz() == 4 and s.sparse_dim() == 2 and s.dense_dim() == 0
    c = s.coalesce()
    assert c.is_coalesced() and c.indices().cpu().tolist() == [[0, 1], [2, 0]] and c.values().cpu().tolist() == [5.0, 5.0]
    assert s.to_dense().cpu().tolist() == [[0, 0, 5.0], [5.0, 0, 0]]
    assert "device='npu:0'" in repr(s)


def test_coo_moves_between_devices():
    s = made("cpu")
    assert s.npu().device.type == "npu" and torch.equal(s.npu().cpu().to_dense(), s.to_dense())
    assert torch.equal(s.npu().clone().double().cpu().to_dense(), s.to_dense().double())


@pytest.mark.filterwarnings("ignore:Sparse")
def test_coo_arithmetic():
    both(lambda d: d.to_sparse() + d.t().contiguous().t().to_sparse(), D)
    both(lambda d: d + d.to_sparse(), D)
    both(lambda d: (d * 1.0).add_(d.to_sparse(), alpha=0.5), D)
    both(lambda d: d.to_sparse() - d.to_sparse() * 2, D)
    both(lambda d: d.to_sparse() * d.to_sparse().abs(), D)
    both(lambda d: d.to_sparse() * (d + 1), D)
    both(lambda d: d.to_sparse() / 2, D)
    both(lambda d: (d.to_sparse().sqrt(), d.to_sparse().neg(), d.to_sparse().sin()), D)
    both(lambda d: d.to_sparse().sum(), D)
    both(lambda d: d.to_sparse().t(), D)
    both(lambda d: (d + 1).sparse_mask(d.to_sparse().coalesce()), D)
    both(lambda d: torch.cat([d.to_sparse(), d.to_sparse()]), D)
    both(lambda d: d.to_sparse().index_select(0, torch.tensor([2, 0], device=d.device)), D)


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr, torch.sparse_csc])
def test_products(layout):
    m = torch.arange(8.0).reshape(4, 2)
    both(lambda d, m: torch.mm(d.to_sparse(layout=layout), m), D, m)
    both(lambda d, m: d.to_sparse(layout=layout) @ m, D, m)
    both(lambda d, m: torch.addmm(torch.ones(3, 2, device=d.device), d.to_sparse(layout=layout), m, beta=2, alpha=3), D, m)
    both(lambda d, m: torch.mv(d.to_sparse(layout=layout), m[:, 0]), D, m)


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("reduce", ["sum", "mean", "amax", "amin"])
def test_reduced_product(reduce):
    def run(d, m):
        s, m = d.to_sparse_csr().requires_grad_(), m.clone().requires_grad_()
        result = torch.sparse.mm(s, m, reduce)
        weights = torch.arange(1.0, result.numel() + 1, device=m.device).view_as(result)
        gradients = torch.autograd.grad(result, (s, m), weights)
        return result.detach(), gradients[0].values(), gradients[1]

    both(run, torch.cat([D, torch.zeros(1, 4)]), torch.tensor([[1.0, -2], [3, 0.5], [-1, 2], [4, 4]]))


def test_batched_product():
    both(lambda d, m: torch.bmm(torch.stack([d, d * 2]).to_sparse(), m), D, torch.arange(16.0).reshape(2, 4, 2))


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("layout", [torch.sparse_csr, torch.sparse_csc])
def test_compressed(layout):
    both(lambda d: d.to_sparse(layout=layout), D)
    both(lambda d: d.to_sparse(layout=layout).to_dense(), D)
    both(lambda d: d.to_sparse(layout=layout).to_sparse(), D)
    both(lambda d: d.to_sparse(layout=layout) * 2, D)
    both(lambda d: d.to_sparse(layout=layout).to_sparse_csr(), D)


@pytest.mark.filterwarnings("ignore:Sparse")
def test_csr_invariants_are_checked():
    crow, col, values = (torch.tensor(t, device="npu") for t in ([0, 2, 1], [0, 1], [1.0, 2.0]))
    with pytest.raises(RuntimeError, match="crow_indices"):
        torch.sparse_csr_tensor(crow, col, values, (2, 2), check_invariants=True)
    crow = torch.tensor([0, 1, 2], device="npu")
    s = torch.sparse_csr_tensor(crow, col, values, (2, 2), check_invariants=True)
    assert s.to_dense().cpu().tolist() == [[1.0, 0.0], [0.0, 2.0]]
    a = torch.arange(6.0, device="npu").reshape(2, 3)
    assert torch.sparse.sampled_addmm(s, a, a.t()).values().cpu().tolist() == [1 + 5.0, 2 + 50.0]


def test_sparse_gradients_train_an_embedding():
    results = []
    for device in ("cpu", "npu"):
        torch.manual_seed(0)
        table = torch.nn.Embedding(10, 4, sparse=True).to(device)
        optimizer = torch.optim.SparseAdam(table.parameters(), lr=0.1)
        for step in range(3):
            optimizer.zero_grad()
            table(torch.tensor([1, 3, 3, step], device=device)).pow(2).sum().backward()
            assert table.weight.grad.is_sparse
            optimizer.step()
        results.append(table.weight.detach().cpu())
    torch.testing.assert_close(results[1], results[0])


def refused(function, *parts):
    with pytest.raises((NotImplementedError, RuntimeError)) as error:
        function()
    assert isinstance(error.value, NotImplementedError), repr(error.value)
    for part in parts:
        assert part in str(error.value)
    assert torch.ones(2, device="npu").sum().item() == 2


def test_missing_sparse_operator_says_so():
    refused(lambda: torch.logit(made()), "aten::logit", "sparse COO", "npu:0", "to_dense")
    refused(lambda: torch.logit(D.npu().to_sparse_csr()), "aten::logit", "sparse CSR", "npu:0", "to_dense")


def test_quantized_tensors_are_refused():
    x = torch.randn(3, device="npu")
    refused(lambda: torch.quantize_per_tensor(x, 0.1, 0, torch.quint8), "quantiz", "npu")
    refused(lambda: torch.quantize_per_channel(x[:, None], torch.ones(3, device="npu"), torch.zeros(3, device="npu"), 0, torch.qint8), "quantiz", "npu")
    refused(lambda: torch._empty_affine_quantized((2,), scale=1.0, zero_point=0, dtype=torch.qint8, device="npu"), "quantiz", "npu")
    refused(lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8).npu(), "quantiz", "npu")


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested")
def test_nested_tensors():
    parts = [torch.ones(2, 3), torch.ones(1, 3)]
    jagged = torch.nested.nested_tensor(parts, layout=torch.jagged, device="npu")
    assert [p.cpu().tolist() for p in (jagged + 1).unbind()] == [[[2.0] * 3] * 2, [[2.0] * 3]]
    strided = torch.nested.nested_tensor(parts, device="npu")
    assert [p.cpu().tolist() for p in strided.unbind()] == [p.tolist() for p in parts]
    refused(lambda: torch.logit(strided), "aten::logit", "nested", "npu:0", "jagged")
