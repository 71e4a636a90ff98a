// ForgeAudit
