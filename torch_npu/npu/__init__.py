"""``torch.npu``: what ``torch.cuda`` is for CUDA devices. Everything that needs a device starts it at the first use."""

from torch_npu.npu import (
    aclnn,
    amp,
    autocast_utils,
    deterministic,
    devices,
    memory,
    npu_config,
    random,
    sharing,
    streams,
    tensor_types,
    utils,
)
from torch_npu.npu.autocast_utils import *  # noqa: F403
from torch_npu.npu.deterministic import *  # noqa: F403
from torch_npu.npu.devices import *  # noqa: F403
from torch_npu.npu.devices import (  # what torch itself looks up
    _exchange_device,
    _get_device_index,
    _is_in_bad_fork,
    _lazy_call,
    _lazy_init,
    _maybe_exchange_device,
    _unavailable_reason,
)
from torch_npu.npu.memory import *  # noqa: F403
from torch_npu.npu.npu_config import *  # noqa: F403
from torch_npu.npu.random import *  # noqa: F403
from torch_npu.npu.random import _default_generators, _get_generator
from torch_npu.npu.streams import *  # noqa: F403
from torch_npu.npu.streams import _launch_host_func, _subscribe_report, _unsubscribe_report
from torch_npu.npu.tensor_types import *  # noqa: F403
from torch_npu.npu.utils import *  # noqa: F403

_SUBMODULES = (
    "_backends",
    "aclnn",
    "aclnn.backends",
    "amp",
    "amp.autocast_mode",
    "amp.common",
    "amp.grad_scaler",
    "autocast_utils",
    "deterministic",
    "devices",
    "memory",
    "npu_config",
    "random",
    "sharing",
    "streams",
    "tensor_types",
    "utils",
)

__all__ = [
    *autocast_utils.__all__,
    *deterministic.__all__,
    *devices.__all__,
    *memory.__all__,
    *npu_config.__all__,
    *random.__all__,
    *streams.__all__,
    *tensor_types.__all__,
    *utils._OWN,
    "aclnn",
    "amp",
    "default_generators",
]


def __getattr__(name):
    if name == "default_generators":
        return _default_generators()
    if name == "_initialized":  # torch.utils.checkpoint keeps the generators' states only where it is true
        return is_initialized()  # noqa: F405
    raise AttributeError(f"module 'torch.npu' has no attribute '{name}'")
