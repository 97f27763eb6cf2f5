"""Operators of the ``npu`` namespace, which torch has not: ``torch.ops.npu`` with signatures and descriptions."""

import torch

__all__ = ["npu_fusion_attention", "npu_geglu", "npu_swiglu"]

_NO_LIMIT = 2147483647


def npu_fusion_attention(query, key, value, head_num, input_layout, pse=None, padding_mask=None, atten_mask=None, scale=1.0, keep_prob=1.0,
                         pre_tockens=_NO_LIMIT, next_tockens=_NO_LIMIT, inner_precise=0, prefix=None, actual_seq_qlen=None,
                         actual_seq_kvlen=None, sparse_mode=0, gen_mask_parallel=True, sync=False, softmax_layout="", sink=None,
                         dropout_mask=None, seed=0, offset=0):
    """Attention by CANN's fused kernel: ``dropout(softmax(scale * (query @ key.T + pse), masked)) @ value``, differentiable in ``query``, ``key``,
    ``value`` and ``pse``.

    Args:
        query, key, value: float16, bfloat16 or float32, all of one dtype, in ``input_layout``; ``key`` and ``value`` have the same shape. Their number
            of heads divides ``query``'s; head sizes are equal, at most 768.
        head_num: heads of ``query``, at most 256.
        input_layout: ``"BNSD"``, ``"BSND"``, ``"BSH"``, ``"SBH"`` (``H`` is heads times size) or ``"TND"``, which holds sequences of different
            lengths behind each other.
        pse: added to the products before they are scaled; broadcast to ``[batch, head_num, targets, sources]``.
        atten_mask: bool or uint8, true where a target does not attend; broadcast to ``[batch, head_num, targets, sources]``. Rows that
            attend to nothing give zeros.
        keep_prob: probability of keeping a weight; above 0, at most 1.
        pre_tockens, next_tockens: for ``sparse_mode`` 0 with a mask and for 4, how many sources before and behind a target it attends to.
        actual_seq_qlen, actual_seq_kvlen: for ``"TND"`` the ends of the sequences: ``[2, 5]`` for one of 2 rows and one of 3.
        sparse_mode: 0: ``atten_mask`` as given. 2, 3: causal, counted from the upper left or the lower right corner. 4: a band counted from the
            lower right corner. 2 to 4 want ``torch.ones(2048, 2048, dtype=torch.bool).triu(1)`` as ``atten_mask``. Others are CANN's, where it has them.
        seed, offset: of the dropout mask; both 0 draw from the device's generator.
        prefix, inner_precise: passed to CANN. gen_mask_parallel, sync: without effect.

    Returns:
        The result, of ``query``'s shape; maximum and sum of each row of scores, float32, ``[batch, head_num, targets, 8]`` (``"TND"``: ``[rows, head_num,
        8]``); an empty tensor; seed, offset and number of the dropout mask's elements.

    Raises:
        ValueError, TypeError: shapes, layout or dtypes that do not belong together.
        NotImplementedError: ``padding_mask``, ``softmax_layout``, ``sink`` or ``dropout_mask`` given.

    Formula: the documentation of ``aclnnFlashAttentionScore``. ``"TND"`` needs CANN 8.0.RC1.
    """
    return torch.ops.npu.npu_fusion_attention(
        query, key, value, head_num, input_layout, pse, padding_mask, atten_mask, scale, keep_prob, pre_tockens, next_tockens, inner_precise, prefix,
        actual_seq_qlen, actual_seq_kvlen, sparse_mode, gen_mask_parallel, sync, softmax_layout, sink, dropout_mask, seed, offset)


def npu_geglu(input, dim=-1, approximate=1, activate_left=False):
    """One half of ``input`` times GELU of the other: ``a * gelu(b)`` for ``a, b = input.chunk(2, dim)``, or ``gelu(a) * b`` with ``activate_left``;
    differentiable. Also for CPU tensors.

    Args:
        input: float16, bfloat16 or float32, of even size in ``dim``.
        approximate: 1 for the formula with tanh, 0 for the one with erf.

    Returns:
        The product and the GELU, both of half ``input``'s size in ``dim``. The second has no gradient.

    Raises:
        ValueError, TypeError: a size that is not even, another dtype or ``approximate``.

    Formula: the documentation of ``aclnnGeGluV3``, which needs CANN 8.0.RC1.
    """
    return torch.ops.npu.npu_geglu(input, dim, approximate, activate_left)


def npu_swiglu(input, dim=-1):
    """``silu(a) * b`` for ``a, b = input.chunk(2, dim)``; differentiable. Also for CPU tensors.

    Args:
        input: float16, bfloat16 or float32, of even size in ``dim``.

    Returns:
        A tensor of half ``input``'s size in ``dim``.

    Raises:
        ValueError, TypeError: a size that is not even, or another dtype.

    Formula: the documentation of ``aclnnSwiGlu``, which needs CANN 8.0.RC1.
    """
    return torch.ops.npu.npu_swiglu(input, dim)
