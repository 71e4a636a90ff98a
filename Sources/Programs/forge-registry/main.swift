// forge-registry: the encrypted store and the audit log.
//
// owns      arguments in, one plan out; everything else is RegistryService
// promises  records are taken from the first moment, the store is sealed until somebody opens it
// never     opens a network socket
// flow      Daemon.main → RegistryPlan.make → doors `registry` and `weights`

import ForgeCore
import ForgeDaemon
import ForgeGate
import RegistryService

await Daemon.main(.registry) { context in try await RegistryPlan.make(context) }
