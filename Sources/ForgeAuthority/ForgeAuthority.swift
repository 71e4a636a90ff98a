// ForgeAuthority
