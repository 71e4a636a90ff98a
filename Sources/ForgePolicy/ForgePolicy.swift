// ForgePolicy
