// ForgeTraining
