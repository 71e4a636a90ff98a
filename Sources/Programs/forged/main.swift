// forged: ingests documents and trains models. Started with `--worker` it is one run's process instead of the daemon.

import ForgeDaemon
import ForgeGate
import TrainerService

if CommandLine.arguments.dropFirst() == [Worker.flag] {
    await Worker.main()
} else {
    await Daemon.main(.trainer) { context in try await TrainerService.plan(context) }
}
