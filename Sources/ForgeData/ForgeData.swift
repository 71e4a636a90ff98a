// ForgeData
