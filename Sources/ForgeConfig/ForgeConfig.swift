// ForgeConfig
