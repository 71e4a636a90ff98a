// ForgeDaemon: what all four daemons do the same way, from the first instruction to the last.
//
// owns      flags, configuration, logs, the state directory and its lock, the handoff from `forge up`, doors, readiness, the
//           watchdog, the order of starting and stopping
// promises  a daemon is ready only when every door accepts; it stops in reverse order within a deadline; two instances never
//           share a state directory; no secret is ever in an argument, the environment or a log line
// never     decides, stores or serves anything of its own beyond /healthz and /readyz
// flow      arguments → configuration → state directory → handoff → `build` → doors → ready → signal → drain → stop → exit
