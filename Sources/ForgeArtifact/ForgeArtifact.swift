// ForgeArtifact
