// ForgeCrypto
