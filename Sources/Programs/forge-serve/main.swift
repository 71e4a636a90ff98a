// forge-serve: answers, and the proof of each.
//
// owns      arguments in, one plan out; everything else is ServeService
// promises  no model, no answer: weights come from the registry alone, and go when it says so
// never     opens a network socket
// flow      Daemon.main → ServePlan.make → doors `serve` and `serve-operator`

import ForgeCore
import ForgeDaemon
import ForgeGate
import ServeService

await Daemon.main(.serve) { context in try await ServePlan.make(context) }
