// ForgeCLI
