// forge-admin: who is who, who may do what, who approved it. See Sources/AdminService/AdminService.swift.
import AdminService
import ForgeCore
import ForgeDaemon
import ForgeGate

await Daemon.main(.admin) { context in try await AdminService.plan(context) }
