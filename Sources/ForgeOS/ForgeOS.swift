// ForgeOS
