// ForgeInference
