// ForgeNN
