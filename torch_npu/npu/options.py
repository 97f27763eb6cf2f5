"""Switches that npu programs set. What they permit is not needed here: operators go through aclnn, whose kernels are compiled
already, tensors keep their plain format, and float32 stays float32. So permissions are kept and not used, and what could
be expected to take effect is said aloud."""

import warnings

__all__ = [
    "aclnn",
    "config",
    "conv",
    "get_mm_bmm_format_nd",
    "is_jit_compile_false",
    "matmul",
    "set_compile_mode",
    "set_mm_bmm_format_nd",
    "set_option",
]


class _Permissions:
    """Booleans by name; only the ones it was made with."""

    def __init__(self, name, **flags):
        self.__dict__.update(flags, _name=name)

    def __setattr__(self, flag, value):
        if flag.startswith("_") or flag not in self.__dict__:
            raise AttributeError(f"torch.npu.{self._name} has no attribute '{flag}'")
        if not isinstance(value, bool):
            raise TypeError(f"torch.npu.{self._name}.{flag} takes a bool, got {type(value).__name__}")
        self.__dict__[flag] = value


#: ``allow_internal_format``: whether tensors may have a private memory format. They never do.
config = _Permissions("config", allow_internal_format=False)
#: ``allow_hf32``: whether float32 products may be computed in the shorter HF32. They are not.
matmul = _Permissions("matmul", allow_hf32=False)
conv = _Permissions("conv", allow_hf32=True)
aclnn = _Permissions("aclnn", allow_hf32=True)


def _no_effect(what, why):
    warnings.warn(f"{what} has no effect: {why}", stacklevel=3)


def set_compile_mode(jit_compile=False):
    """Whether operators are compiled at run time. They never are; asking for it warns."""
    if jit_compile:
        _no_effect("torch.npu.set_compile_mode(jit_compile=True)", "operators are compiled already")


def is_jit_compile_false():
    """``True``: operators are never compiled at run time."""
    return True


def set_mm_bmm_format_nd(is_nd=True):
    """Whether matrix products use the plain format. They always do; asking for another warns."""
    if not is_nd:
        _no_effect("torch.npu.set_mm_bmm_format_nd(False)", "tensors keep their plain format")


def get_mm_bmm_format_nd():
    """``True``: matrix products use the plain format."""
    return True


def set_option(option):
    """Several switches at once, a dict of strings, as ``{"jitCompile": "disable", "ALLOW_MATMUL_HF32": "enable"}``.

    Keys: ``ALLOW_CONV_HF32``, ``ALLOW_MATMUL_HF32``, ``ALLOW_INTERNAL_FORMAT``, ``jitCompile``, ``MM_BMM_ND_ENABLE``; values
    ``enable`` and ``disable``. Others raise ValueError.
    """
    actions = {
        "ALLOW_CONV_HF32": lambda on: setattr(conv, "allow_hf32", on),
        "ALLOW_MATMUL_HF32": lambda on: setattr(matmul, "allow_hf32", on),
        "ALLOW_INTERNAL_FORMAT": lambda on: setattr(config, "allow_internal_format", on),
        "jitCompile": set_compile_mode,
        "MM_BMM_ND_ENABLE": set_mm_bmm_format_nd,
    }
    if not isinstance(option, dict):
        raise TypeError(f"option has to be a dict, got {type(option).__name__}")
    for key, value in option.items():
        if key not in actions:
            raise ValueError(f"torch.npu.set_option knows no '{key}'; it knows {', '.join(actions)}")
        if value not in ("enable", "disable"):
            raise ValueError(f"torch.npu.set_option: {key} takes 'enable' or 'disable', got {value!r}")
    for key, value in option.items():
        actions[key](value == "enable")
