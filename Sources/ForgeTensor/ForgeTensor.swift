// ForgeTensor
