import ForgeCLI

await ForgeCommand.start()
