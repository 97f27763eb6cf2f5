"""The vendor's adapter as second witness: which aclnn calls the two adapters make for the same operator, and with what.

Both run the float32 samples of PyTorch's operator database on softcann with SOFTCANN_TRACE on. Where both call the same aclnn
function but pass something else, one of them is wrong or the difference has a reason: ``explained.yaml`` gives reasons, the
rest has to be mended.
"""
