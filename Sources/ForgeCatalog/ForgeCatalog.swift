// ForgeCatalog
