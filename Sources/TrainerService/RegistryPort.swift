package import ForgeCore
package import RegistryAPI

/// What forged asks of the registry. The client in a running appliance; a stand-in where one daemon is tested alone.
package protocol RegistryPort: AuditPort {
    func releaseKey(_ purpose: KeyRequest.Purpose, _ id: ID) async throws(Fault) -> ReleasedKey
    func register(dataset name: String, manifest: [UInt8], bytes: Int64, person: String?) async throws(Fault) -> DatasetSummary
    func models(named name: String) async throws(Fault) -> [ModelView]
    func evaluate(_ reference: String, _ evaluation: EvaluationRequest) async throws(Fault) -> EvaluationView
    func beginUpload(_ request: UploadRequest) async throws(Fault) -> UploadView
    func upload(_ id: ID) async throws(Fault) -> UploadView
    func send(_ file: UploadView.File, of upload: UploadView, read: @escaping @Sendable (Int, Int64) async throws(Fault) -> [UInt8]) async throws(Fault)
    func commit(_ upload: ID, _ request: CommitRequest) async throws(Fault) -> ModelView
}

extension RegistryClient: RegistryPort {}
