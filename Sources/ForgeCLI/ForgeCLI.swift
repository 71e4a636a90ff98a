// ForgeCLI: the command line `forge`, one file a subcommand.
//
// owns      parsing of arguments, sign-in on this terminal, tables and JSON for people and programs, progress, exit codes
// promises  data to stdout, talk to stderr; every failure says what, why and what to do; a secret is never an argument,
//           never in the environment, never printed twice
// never     decides: each verb asks the daemon that owns the noun, as the person who signed in
// flow      arguments → subcommand → typed client of one daemon → Output
