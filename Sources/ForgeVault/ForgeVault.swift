// ForgeVault
