// ForgeTokenizer
