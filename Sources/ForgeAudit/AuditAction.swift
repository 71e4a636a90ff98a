package import ForgeGate

/// Everything that can stand on record: a closed list (docs/formats/audit-leaf.md §3). A new action is a new line here, there
/// and in the verifier.
package enum AuditAction: String, Sendable, Hashable, CaseIterable, Codable {
    case logInit = "log.init"
    case clockStep = "clock.step"
    case daemonStart = "daemon.start"
    case daemonStop = "daemon.stop"
    case daemonDrain = "daemon.drain"
    case login
    case loginRefused = "login.refused"
    case logout

    case userRead = "user.read"
    case userEnrol = "user.enrol"
    case policyRead = "policy.read"
    case approvalRead = "approval.read"
    case approvalRequest = "approval.request"
    case approvalVote = "approval.vote"
    case approvalVeto = "approval.veto"
    case approvalWithdraw = "approval.withdraw"
    case appkeyList = "appkey.list"
    case policyActivate = "policy.activate"
    case appkeyCreate = "appkey.create"
    case appkeyRevoke = "appkey.revoke"

    case auditRead = "audit.read"
    case auditVerify = "audit.verify"
    /// A witness's key was accepted.
    case auditWitness = "audit.witness"
    case dataRead = "data.read"
    case modelRead = "model.read"
    case modelsList = "models.list"
    case receiptRead = "receipt.read"
    case registryInit = "registry.init"
    case registryUnseal = "registry.unseal"
    case registrySeal = "registry.seal"
    case auditExport = "audit.export"
    case modelPut = "model.put"
    case modelEvaluate = "model.evaluate"
    case modelPromote = "model.promote"
    case modelRollback = "model.rollback"
    case modelDelete = "model.delete"
    /// The weights in the clear went to a person.
    case modelExport = "model.export"
    case modelLoad = "model.load"
    case keyRelease = "key.release"
    case storeScrub = "store.scrub"

    case runRead = "run.read"
    case runCheckpoint = "run.checkpoint"
    case recipeRead = "recipe.read"
    case dataAdd = "data.add"
    case runSubmit = "run.submit"
    case runStart = "run.start"
    case runCancel = "run.cancel"
    case runResume = "run.resume"

    case infer
    case receiptReplay = "receipt.replay"
    case serveLoad = "serve.load"
    case serveUnload = "serve.unload"

    /// Whether it changes or hands over something, so that it is written as an intent and then an outcome.
    package var hasEffect: Bool {
        switch self {
        case .policyActivate, .appkeyCreate, .appkeyRevoke, .registryInit, .registryUnseal, .registrySeal, .auditExport, .modelPut, .modelEvaluate,
            .modelPromote, .modelRollback, .modelDelete, .modelExport, .modelLoad, .keyRelease, .storeScrub, .dataAdd, .runSubmit, .runStart, .runCancel, .runResume,
            .infer, .receiptReplay, .serveLoad, .serveUnload:
            true
        default: false
        }
    }

    /// The daemon that carries it out: its restart closes what it left open. nil when any daemon may.
    package var owner: DaemonName? {
        switch self {
        case .logInit, .clockStep, .daemonStart, .daemonStop, .daemonDrain, .login, .loginRefused, .logout: nil
        case .userRead, .userEnrol, .policyRead, .approvalRead, .approvalRequest, .approvalVote, .approvalVeto, .approvalWithdraw, .appkeyList, .policyActivate,
            .appkeyCreate, .appkeyRevoke:
            .admin
        case .auditRead, .auditVerify, .auditWitness, .dataRead, .modelRead, .modelsList, .receiptRead, .registryInit, .registryUnseal, .registrySeal, .auditExport, .modelPut,
            .modelEvaluate, .modelPromote, .modelRollback, .modelDelete, .modelExport, .modelLoad, .keyRelease, .storeScrub:
            .registry
        case .runRead, .runCheckpoint, .recipeRead, .dataAdd, .runSubmit, .runStart, .runCancel, .runResume: .trainer
        case .infer, .receiptReplay, .serveLoad, .serveUnload: .serve
        }
    }

    /// What an officer must still be able to do, and to have on record, when the disk is full.
    package var isOfficers: Bool {
        switch self {
        case .auditExport, .auditRead, .auditVerify, .registrySeal, .daemonStart, .daemonStop, .daemonDrain, .clockStep, .login, .logout: true
        default: false
        }
    }
}
