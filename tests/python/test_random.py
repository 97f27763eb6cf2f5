"""Random functions of the npu: numbers that come from the generator, and from the distribution they name."""
import math

import pytest
import torch
import torch_npu

pytestmark = pytest.mark.skipif(not torch.npu.is_available(), reason="no npu")
N = 20000


def filled(method, *arguments, dtype=torch.float32):
    return lambda size, generator=None: getattr(torch.empty(size, dtype=dtype, device="npu"), method)(*arguments, generator=generator)


def of(function, *values, **options):
    """A function of parameter tensors, which are expanded to the size wanted."""
    return lambda size, generator=None: function(*(torch.full((size,), float(v), device="npu") for v in values), generator=generator, **options)


def gamma_of(alpha):
    return lambda size, generator=None: torch._standard_gamma(torch.full((size,), alpha, device="npu"), generator=generator)


def normal_distribution(mean=0.0, std=1.0):
    return torch.distributions.Normal(mean, std)


#: name -> (numbers(size, generator), mean, variance, distribution function or None)
DISTRIBUTIONS = {
    "uniform": (filled("uniform_", -1, 3), 1, 16 / 12, lambda x: (x + 1) / 4),
    "normal": (filled("normal_", 2, 3), 2, 9, normal_distribution(2.0, 3.0).cdf),
    "exponential": (filled("exponential_", 2.0), 0.5, 0.25, lambda x: 1 - torch.exp(-2 * x)),
    "exponential float64": (filled("exponential_", 2.0, dtype=torch.float64), 0.5, 0.25, lambda x: 1 - torch.exp(-2 * x)),
    "cauchy": (filled("cauchy_", 1.0, 2.0), None, None, lambda x: torch.atan((x - 1) / 2) / math.pi + 0.5),
    "log_normal": (filled("log_normal_", 0.5, 0.25), math.exp(0.5 + 0.03125), (math.exp(0.0625) - 1) * math.exp(1 + 0.0625),
                   lambda x: normal_distribution(0.5, 0.25).cdf(x.log())),
    "geometric": (filled("geometric_", 0.3), 1 / 0.3, 0.7 / 0.09, None),
    "geometric int32": (filled("geometric_", 0.3, dtype=torch.int32), 1 / 0.3, 0.7 / 0.09, None),
    "bernoulli": (filled("bernoulli_", 0.3), 0.3, 0.21, None),
    "bernoulli tensor": (of(torch.bernoulli, 0.3), 0.3, 0.21, None),
    "random": (filled("random_", 10, 20), 14.5, 99 / 12, None),
    "normal of tensors": (of(torch.normal, 2, 3), 2, 9, normal_distribution(2.0, 3.0).cdf),
    "poisson of little": (of(torch.poisson, 2.5), 2.5, 2.5, None),
    "poisson of much": (of(torch.poisson, 40), 40, 40, None),
    "poisson of very much": (of(torch.poisson, 1e5), 1e5, 1e5, None),
    "binomial, few hits": (of(torch.binomial, 12, 0.3), 3.6, 2.52, None),
    "binomial, many hits": (of(torch.binomial, 200, 0.8), 160, 32, None),
    "gamma below one": (gamma_of(0.4), 0.4, 0.4, lambda x: torch.special.gammainc(torch.tensor(0.4), x)),
    "gamma": (gamma_of(3.5), 3.5, 3.5, lambda x: torch.special.gammainc(torch.tensor(3.5), x)),
}


@pytest.fixture(autouse=True)
def keep_state():
    state = torch.npu.get_rng_state()
    yield
    torch.npu.set_rng_state(state)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_numbers_come_from_the_generator(name):
    numbers = DISTRIBUTIONS[name][0]
    torch.manual_seed(5)
    state = torch.npu.get_rng_state()
    first, second = numbers(50).tolist(), numbers(50).tolist()
    assert first != second
    torch.manual_seed(5)
    assert [numbers(50).tolist(), numbers(50).tolist()] == [first, second]
    torch.npu.set_rng_state(state)
    assert numbers(50).tolist() == first
    own = torch.Generator("npu").manual_seed(5)
    before = torch.npu.get_rng_state()
    assert numbers(50, own).tolist() == first
    assert torch.equal(torch.npu.get_rng_state(), before)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_numbers_have_their_distribution(name):
    numbers, mean, variance, cdf = DISTRIBUTIONS[name]
    torch.manual_seed(11)
    torch_npu.reset_fallbacks()
    x = numbers(N)
    assert x.device.type == "npu" and not torch_npu.fallbacks()
    x = x.cpu().double()
    if mean is not None:
        error = math.sqrt(variance / N)  # of the mean of N numbers
        assert abs(x.mean().item() - mean) < 5 * error
        assert abs(x.var().item() / variance - 1) < 0.1
    if cdf is not None:
        u = cdf(x.sort().values.float()).double().clamp(0, 1)
        steps = torch.arange(N, dtype=torch.float64) / N
        distance = max((u - steps).abs().max().item(), (u - steps - 1 / N).abs().max().item())
        assert distance < 2.2 / math.sqrt(N)  # Kolmogorov and Smirnov


def test_discrete_probabilities():
    torch.manual_seed(3)
    for rate in (3.0, 14.0):
        counts = torch.poisson(torch.full((N,), rate, device="npu")).cpu().long().bincount(minlength=40)[:40] / N
        k = torch.arange(40.0)
        expected = torch.exp(k * math.log(rate) - rate - torch.lgamma(k + 1))
        assert (counts - expected).abs().max() < 0.015
    for p in (0.1, 0.5, 0.7):
        n = 60
        drawn = torch.binomial(torch.full((N,), float(n), device="npu"), torch.full((N,), p, device="npu")).cpu().long()
        expected = torch.distributions.Binomial(n, p).log_prob(torch.arange(n + 1.0)).exp()
        assert (drawn.bincount(minlength=n + 1) / N - expected).abs().max() < 0.015
    picks = torch.multinomial(torch.tensor([1.0, 2, 5], device="npu"), N, replacement=True).cpu().bincount() / N
    assert (picks - torch.tensor([0.125, 0.25, 0.625])).abs().max() < 0.015


def test_dirichlet():
    alpha = torch.tensor([0.5, 2, 4], device="npu")
    x = torch._sample_dirichlet(alpha.expand(N, 3)).cpu()
    assert torch.allclose(x.sum(-1), torch.ones(N), atol=1e-5)
    assert torch.allclose(x.mean(0), alpha.cpu() / 6.5, atol=0.01)


def test_edges():
    def npu(*values):
        return torch.tensor(values, device="npu")

    assert torch.poisson(npu(0.0, 0.0)).tolist() == [0, 0]
    assert torch.binomial(npu(5.0, 5.0, 0.0), npu(0.0, 1.0, 0.5)).tolist() == [0, 5, 0]
    assert torch.binomial(npu(5.0, 7.0).view(2, 1), npu(1.0, 0.0)).tolist() == [[5, 0], [7, 0]]
    assert math.isnan(torch.binomial(npu(math.nan), npu(0.5)).item())
    assert torch._standard_gamma(npu(0.0)).item() == pytest.approx(torch._standard_gamma(torch.tensor([0.0])).item())
    assert torch.randperm(7, device="npu").sort().values.tolist() == list(range(7))
    assert torch.multinomial(npu(0.0, 1.0, 0.0), 1).tolist() == [1]


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_empty(name):
    assert DISTRIBUTIONS[name][0](0).shape == (0,)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("method,arguments", [("exponential_", (1.0,)), ("cauchy_", ()), ("log_normal_", (0, 0.5)), ("geometric_", (0.5,)), ("normal_", ()),
                                              ("uniform_", ())])
def test_dtypes(method, arguments, dtype):
    x = torch.empty(6, 4, dtype=dtype, device="npu")[:, ::2]
    y = getattr(x, method)(*arguments)
    assert y is x and x.isfinite().all() and x.cpu().unique().numel() > 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes_of_functions(dtype):
    x = torch.full((8,), 3.0, dtype=dtype, device="npu")
    for drawn in (torch.poisson(x), torch.binomial(x, x / 6), torch._standard_gamma(x), torch._sample_dirichlet(x), torch.normal(x, x), torch.bernoulli(x / 6)):
        assert drawn.dtype == dtype and drawn.isfinite().all()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rrelu(training, dtype):
    x = torch.randn(1000, dtype=dtype)
    y = torch.nn.functional.rrelu(x.npu(), 0.1, 0.3, training).cpu()
    slope = (y / x)[x < 0]
    assert torch.equal(y[x >= 0], x[x >= 0])
    if training:
        assert 0.1 <= slope.min() < 0.12 and 0.28 < slope.max() <= 0.3
    else:
        assert torch.allclose(slope, torch.full_like(slope, 0.2))


def test_fused_dropout():
    x = torch.ones(N, device="npu")
    y, mask = torch._fused_dropout(x, 0.25)
    assert mask.dtype == torch.uint8 and torch.equal(y, mask * 4.0)
    assert abs(mask.float().mean().item() - 0.25) < 0.02


def test_complex():
    x = torch.empty(N, dtype=torch.complex64, device="npu").normal_().cpu()
    assert abs(x.real.var().item() - 0.5) < 0.03 and abs(x.imag.var().item() - 0.5) < 0.03
    assert torch.rand(4, dtype=torch.complex64, device="npu").abs().max() < math.sqrt(2)


WRONG = {
    "exponential, lambda": lambda d: torch.empty(3, device=d).exponential_(0),
    "exponential, int": lambda d: torch.empty(3, dtype=torch.int32, device=d).exponential_(),
    "cauchy, sigma": lambda d: torch.empty(3, device=d).cauchy_(0, 0),
    "cauchy, int": lambda d: torch.empty(3, dtype=torch.int32, device=d).cauchy_(),
    "log_normal, std": lambda d: torch.empty(3, device=d).log_normal_(0, 0),
    "geometric, p": lambda d: torch.empty(3, device=d).geometric_(1),
    "uniform, order": lambda d: torch.empty(3, device=d).uniform_(2, 1),
    "uniform, half": lambda d: torch.empty(3, dtype=torch.half, device=d).uniform_(0, 1e6),
    "normal, std": lambda d: torch.empty(3, device=d).normal_(0, -1),
    "normal, std tensor": lambda d: torch.normal(0.0, torch.tensor([1.0, -1.0], device=d)),
    "random, order": lambda d: torch.empty(3, device=d).random_(5, 5),
    "random, uint8": lambda d: torch.empty(3, dtype=torch.uint8, device=d).random_(0, 300),
    "random, bool": lambda d: torch.empty(3, dtype=torch.bool, device=d).random_(0, 3),
    "bernoulli, p": lambda d: torch.empty(3, device=d).bernoulli_(2),
    "poisson, rate": lambda d: torch.poisson(torch.tensor([-1.0], device=d)),
    "binomial, int": lambda d: torch.binomial(torch.tensor([5], device=d), torch.tensor([0.5], device=d)),
    "binomial, mixed": lambda d: torch.binomial(torch.tensor([5.0], device=d).double(), torch.tensor([0.5], device=d)),
    "multinomial, negative": lambda d: torch.multinomial(torch.tensor([1.0, -1.0], device=d), 1),
    "multinomial, infinite": lambda d: torch.multinomial(torch.tensor([1.0, math.inf], device=d), 1),
    "multinomial, zero": lambda d: torch.multinomial(torch.zeros(3, device=d), 1, True),
    "multinomial, too many": lambda d: torch.multinomial(torch.ones(3, device=d), 4),
    "multinomial, int": lambda d: torch.multinomial(torch.ones(3, dtype=torch.int64, device=d), 1),
    "multinomial, 3-D": lambda d: torch.multinomial(torch.ones(3, 3, 3, device=d), 1),
    "randperm, half": lambda d: torch.randperm(3000, dtype=torch.half, device=d),
    "rrelu, bounds": lambda d: torch.nn.functional.rrelu(torch.ones(3, device=d), 0.5, 0.1, True),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_are_the_cpus(name, same_error):
    same_error(WRONG[name])
