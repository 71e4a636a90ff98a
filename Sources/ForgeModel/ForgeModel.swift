// ForgeModel
