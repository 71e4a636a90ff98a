// ForgeAutograd
