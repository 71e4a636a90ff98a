// ForgeTensor: memory with a shape, and the operations of the kernel table as Swift calls.
//
// owns      `Backend` (which kernels), `Device` (a stream of work on one), `Storage`, `Tensor`, `Indices`, the calls
// promises  shapes are checked before a kernel sees a pointer (a mismatch is a bug, so it traps); the same bits for any
//           number of threads; no allocation inside an operation
// never     differentiates (ForgeAutograd), knows a model (ForgeModel), or lets a pointer out
// flow      Backend.best → Device(backend, threads:) → device.tensor(…) → device.linear(…) → tensor.values()
