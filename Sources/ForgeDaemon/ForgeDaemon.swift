// ForgeDaemon
