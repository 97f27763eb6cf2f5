// Keys that torch's dispatcher lacked. Nothing ever calls what is registered under the one that stands in.
#pragma once

#if TORCH_NPU_TORCH_VERSION < 20300
#define SparseCsrPrivateUse1 PrivateUse3
#endif

#if TORCH_NPU_TORCH_VERSION < 20100
#define PreDispatch PrivateUse3
#endif
