// Keys that torch's dispatcher lacked. Nothing ever calls what is registered under the one that stands in.
#pragma once

#if TORCH_NPU_TORCH_VERSION < 20300
#define SparseCsrPrivateUse1 PrivateUse3
#endif

#if TORCH_NPU_TORCH_VERSION < 20100
// Only excluded, always together with this one. A key of a backend would take all dense tensors along.
#define PreDispatch Tracer
#endif
